// Make src/generated/api.ts out of a service's description: npm run generate -- [URL or FILE [OUTPUT]]
//
// Only what the types of this package are made of is kept: parameters, bodies and answers of the routes below /api/v1.
// Problems are the same for all of them, and the titles say what the names say.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const [source = "http://127.0.0.1:3000/openapi.json", output = new URL("../src/generated/api.ts", import.meta.url)] =
  process.argv.slice(2);

const document = JSON.parse(
  /^https?:/.test(source) ? await (await fetch(source)).text() : await readFile(source, "utf8"),
);

const paths = {};
for (const [path, operations] of Object.entries(document.paths)) {
  if (!path.startsWith("/api/v1/")) continue;
  paths[path] = {};
  for (const [method, { operationId, summary, parameters = [], requestBody, responses }] of Object.entries(
    operations,
  )) {
    const answers = Object.entries(responses).filter(([status]) => status.startsWith("2"));
    paths[path][method] = {
      operationId,
      summary,
      parameters: parameters.filter((parameter) => parameter.in !== "header"),
      ...(requestBody && { requestBody }),
      responses: Object.fromEntries(
        answers.map(([status, { description, content }]) => [status, { description, ...(content && { content }) }]),
      ),
    };
  }
}

const named = document.components.schemas;
const schemas = {};
(function keepNamed(node) {
  if (typeof node !== "object" || node === null) return;
  const name = typeof node.$ref === "string" && node.$ref.replace("#/components/schemas/", "");
  if (name && !(name in schemas)) {
    schemas[name] = named[name];
    keepNamed(named[name]);
  }
  Object.values(node).forEach(keepNamed);
})([paths, { $ref: "#/components/schemas/Problem" }]);

/** Return a schema, or what holds some, without the titles; a property may be called so. */
function withoutTitles(node, isMap = false) {
  if (Array.isArray(node)) return node.map((one) => withoutTitles(one));
  if (typeof node !== "object" || node === null) return node;
  const kept = Object.entries(node).filter(([key]) => isMap || key !== "title");
  return Object.fromEntries(
    kept.map(([key, below]) => [key, withoutTitles(below, !isMap && (key === "properties" || key === "schemas"))]),
  );
}

const sorted = Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => (one < other ? -1 : 1)));
const nodes = await openapiTS(
  withoutTitles({ openapi: document.openapi, info: document.info, paths, components: { schemas: sorted } }),
);
await writeFile(
  output,
  `// Made by 'npm run generate' from the service's /openapi.json: do not change it here.\n${astToString(nodes)}`,
);
