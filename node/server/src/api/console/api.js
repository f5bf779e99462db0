// The API of the node that served this page. The token stays in this tab, and goes with it.

const KEY = "starling-token";
let self = null;

export class ApiError extends Error {
  constructor(status, problem, again) {
    const later = status === 503 && again ? ` Try again in ${again} s.` : "";
    super((problem.detail ?? `The node answers ${status}.`) + later);
    this.status = status;
    this.code = problem.code;
    this.field = problem.field;
  }
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const me = () => self;
export const may = (...scopes) => scopes.some((scope) => self?.scopes.includes(scope));

export async function signIn(token) {
  if (token) sessionStorage.setItem(KEY, token);
  try {
    self = await call("GET", "/self");
  } catch (error) {
    if (error.status === 401 || token) signOut();
    throw error;
  }
  return self;
}

export function signOut() {
  sessionStorage.removeItem(KEY);
  self = null;
}

/// A path of names, each encoded.
export const path = (...names) => "/" + names.map(encodeURIComponent).join("/");

export async function call(method, path, { query = {}, body } = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const url = `/api/v1${path}${asked.size ? "?" + asked : ""}`;
    response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store", credentials: "omit", redirect: "error" });
  } catch {
    throw new ApiError(0, { detail: "The node does not answer." });
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    // Something between the node and this page answered.
    answer = {};
  }
  if (!response.ok) {
    const error = new ApiError(response.status, answer ?? {}, response.headers.get("Retry-After"));
    if (response.status === 401 && self) window.dispatchEvent(new CustomEvent("signed-out", { detail: error.message }));
    throw error;
  }
  return answer;
}

export const get = (path, query) => call("GET", path, { query });
