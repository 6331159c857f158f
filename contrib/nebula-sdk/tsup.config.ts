import { minify, type MinifyOptions } from "terser";
import { defineConfig, type Options } from "tsup";
import { minifySync } from "vite";

const common: Options = {
  format: "esm",
  target: "es2022",
  minify: true,
  // none: what the second minifier makes of the code has no map
  splitting: false,
};

/** Names that callers never see. */
const INTERNAL =
  /^(auth|base|come|core|deadline|http|open|request|sign|stop|submit|wait|session|transactions|onDoubt|inTurn|readStream|settle|credentials?|renewal|waiting|shared|look|like|who|retry|carryOut)$/;

/** What makes the static `Nebula`, by what is left of it. */
const MAKER = /function ([\w$]+)\(\)\{let [\w$]+=Object\.create\(/;

/** Names are made short by the second one, which does it better. */
const TERSER: MinifyOptions = {
  ecma: 2020,
  module: true,
  mangle: false,
  compress: { passes: 3, hoist_funs: true, pure_getters: true, unsafe_arrows: true },
};

export default defineConfig([
  {
    ...common,
    minify: false, // it is done below: two that know different tricks make it smaller than either
    entry: ["src/index.ts"],
    esbuildOptions: (options) => void (options.mangleProps = INTERNAL),
    dts: {
      entry: ["src/index.ts", "src/secret-key.ts"],
      // tsup sets baseUrl, of which TypeScript 6 warns
      compilerOptions: { ignoreDeprecations: "6.0" },
    },
    plugins: [
      {
        // both drop the mark with the spaces; without it whoever needs one function would get the whole client
        name: "minify-and-keep-pure",
        async renderChunk(code) {
          const first = (await minify(code, TERSER)).code ?? "";
          const small = minifySync("index.js", first, { module: true, compress: { target: "es2022" } }).code;
          const call = `${MAKER.exec(small)?.[1]}()`;
          const parts = small.split(`=${call}`);
          if (parts.length !== 2) throw new Error("what makes Nebula is not where it was");
          return { code: parts.join(`=/*@__PURE__*/${call}`) };
        },
      },
    ],
  },
  {
    ...common,
    entry: ["src/secret-key.ts"],
    // both entries have the same classes of errors: one imports the other as it is
    esbuildPlugins: [
      {
        name: "package-itself",
        setup: (build) => void build.onResolve({ filter: /^\.\/index\.js$/ }, ({ path }) => ({ path, external: true })),
      },
    ],
  },
]);
