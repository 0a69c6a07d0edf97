/** What a call to another service ended in. Calls never throw: a page decides what each end means to the shopper. */

export interface FieldFault {
  field: string;
  message: string;
}

export interface Problem {
  /** The HTTP status, or 0 when no answer came. */
  status: number;
  /** The stable code of the service, or `unreachable`, `timeout`, `bad_reply`. */
  code: string;
  detail: string;
  errors: FieldFault[];
  /** The other members, such as `shortages`; as they came, so read them with a decoder. */
  members: Record<string, unknown>;
}

export type Reply<T> = { ok: true; value: T; status: number; etag: string | null } | { ok: false; problem: Problem };

/** Whether the service itself is the trouble, rather than what was asked of it. */
export function isDown(problem: Problem): boolean {
  return problem.status === 0 || problem.status >= 500;
}

export function localProblem(code: string, detail: string): Problem {
  return { status: 0, code, detail, errors: [], members: {} };
}

/** Reads an error answer; anything that is not problem+json becomes a problem with the code `http_<status>`. */
export function readProblem(status: number, body: unknown): Problem {
  const members = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const errors = Array.isArray(members["errors"]) ? members["errors"] : [];
  return {
    status,
    code: typeof members["code"] === "string" ? members["code"] : `http_${status}`,
    detail: typeof members["detail"] === "string" ? members["detail"] : "",
    errors: errors.flatMap((entry: unknown) => {
      if (typeof entry !== "object" || entry === null) return [];
      const { field, message, detail } = entry as Record<string, unknown>;
      const text = message ?? detail;
      return typeof field === "string" && typeof text === "string" ? [{ field, message: text }] : [];
    }),
    members,
  };
}
