// The documentation of the API, drawn from its own OpenAPI document.

import { element } from "./render.js";

function resolve(document, schema) {
  return schema?.$ref ? document.components.schemas[schema.$ref.split("/").pop()] : schema ?? {};
}

function typeName(document, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf || schema.anyOf) return (schema.oneOf || schema.anyOf).map((one) => typeName(document, one)).join(" or ");
  if (schema.type === "array") return `list of ${typeName(document, schema.items)}`;
  const range = [["minimum", "≥"], ["maximum", "≤"]].filter(([key]) => key in schema).map(([key, sign]) => `${sign} ${schema[key]}`);
  return [Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type, ...range].join(" ");
}

function table(rows) {
  return element("table", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell, i) => element("td", {}, i ? cell : element("code", {}, cell))))));
}

function fields(document, schema) {
  if (schema.oneOf) return element("div", {}, ...schema.oneOf.flatMap((one) => [element("p", {}, element("code", {}, typeName(document, one))), fields(document, one)]));
  const object = resolve(document, schema);
  const needed = new Set(object.required ?? []);
  return table(
    Object.entries(object.properties ?? {}).map(([name, field]) => [
      name,
      typeName(document, field),
      needed.has(name) ? "needed" : "default" in field ? `default ${JSON.stringify(field.default)}` : "",
    ]),
  );
}

function operation(document, path, verb, described) {
  const body = described.requestBody?.content?.["application/json"]?.schema;
  const good = described.responses?.["200"]?.content?.["application/json"]?.schema;
  const parts = [element("p", {}, described.description ?? "")];
  if (described.parameters?.length) {
    parts.push(element("h3", {}, "Parameters"), table(described.parameters.map((p) => [p.name, typeName(document, p.schema), p.required ? "needed" : "", p.description ?? ""])));
  }
  if (body) parts.push(element("h3", {}, "Body"), fields(document, body));
  if (good) parts.push(element("h3", {}, "Answer"), fields(document, good));
  const errors = Object.entries(described.responses ?? {}).filter(([status]) => status !== "200");
  if (errors.length) parts.push(element("h3", {}, "Errors"), table(errors.map(([status, error]) => [status, error.description])));
  return element(
    "section",
    {},
    element(
      "details",
      {},
      element("summary", {}, element("span", { class: `verb ${verb}` }, verb.toUpperCase()), element("code", {}, path), described.summary ?? ""),
      ...parts,
    ),
  );
}

const place = document.getElementById("operations");
try {
  const response = await fetch("/api/openapi.json");
  const described = await response.json();
  if (!response.ok) throw new Error(described.error);
  const groups = new Map();
  for (const [path, verbs] of Object.entries(described.paths)) {
    for (const [verb, one] of Object.entries(verbs)) {
      const group = one.tags?.[0] ?? "";
      groups.set(group, [...(groups.get(group) ?? []), operation(described, path, verb, one)]);
    }
  }
  for (const [group, operations] of groups) place.append(element("h2", {}, group), ...operations);
} catch (error) {
  place.append(element("section", {}, `The description of the API cannot be read: ${error.message}`));
}
