// The REST API, with the key kept for this tab only, and integers beyond 2^53 kept as text.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const KEY = "shortlist-key";

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

function exactNumbers(name, value, context) {
  return typeof value === "number" && !Number.isSafeInteger(value) && Number.isInteger(value) && context
    ? context.source
    : value;
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer. Is it running?");
  }
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text, exactNumbers);
  } catch {
    throw new ApiError(response.status, `The service sent something that is not JSON (${response.status}).`);
  }
  if (!response.ok) throw new ApiError(response.status, body.error || `Status ${response.status}`);
  return body;
}

function post(path, body, signal) {
  return call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

// Ids go in the query: in a path a browser would resolve the ids "." and "..".
const query = (values) => new URLSearchParams(values).toString();

export const api = {
  model: () => call("model"),
  users: (prefix, limit, signal) => call(`users?${query({ prefix, limit })}`, { signal }),
  items: (prefix, limit, signal) => call(`items?${query({ prefix, limit })}`, { signal }),
  user: (id, signal) => call(`user?${query({ id })}`, { signal }),
  item: (id, signal) => call(`item?${query({ id })}`, { signal }),
  recommend: (body, signal) => post("recommend", body, signal),
  similar: (id, signal) => post("similar", { item_id: id }, signal),
};
