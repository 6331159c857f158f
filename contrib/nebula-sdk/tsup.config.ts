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
const MAKING = /(?<=\b[\w$]+=)(?=([\w$]+)\(\);function \1\(\)\{let [\w$]+=Object\.create\()/g;

export default defineConfig([
  {
    ...common,
    entry: ["src/index.ts"],
    esbuildOptions: (options) => void (options.mangleProps = INTERNAL),
    dts: {
      entry: ["src/index.ts", "src/secret-key.ts"],
      // tsup sets baseUrl, of which TypeScript 6 warns
      compilerOptions: { ignoreDeprecations: "6.0" },
    },
    plugins: [
      {
        // esbuild drops the mark with the spaces; without it whoever needs one function would get the whole client
        name: "keep-pure",
        renderChunk(code) {
          // what is small already gets smaller still
          const small = minifySync("index.js", code, { module: true, compress: { target: "es2022" } }).code;
          if (small.match(MAKING)?.length !== 1) throw new Error("what makes Nebula is not where it was");
          return { code: small.replace(MAKING, "/*@__PURE__*/") };
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
