import { ValidationError } from './errors.js';
import { complaintQuotes } from './quotation.js';
import { truncateBytes } from './text.js';

/** The part of Standard Schema v1 that is used: zod, valibot, arktype and others implement it. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  };
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

/** One step of a path comes from the payload where names are free. */
const STEP_BYTES = 128;

export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return typeof (value as Partial<StandardSchema>)['~standard']?.validate === 'function';
}

/**
 * What the schema makes of `value`.
 *
 * @throws ValidationError naming each path that is wrong, never a value: a text of the schema that quotes one is not shown
 */
export async function validate(schema: StandardSchema, value: unknown, what: string): Promise<unknown> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  const issues = result.issues.slice(0, 20).map((issue) => {
    const path = (issue.path ?? []).map((step) => String(typeof step === 'object' ? step.key : step));
    const place = path.length === 0 ? '(payload)' : path.map((step) => truncateBytes(step, STEP_BYTES)).join('.');
    return `${place}: ${complaintQuotes(issue.message, value, path, true) ? 'is not valid' : issue.message}`;
  });
  throw new ValidationError(`${what} does not fit its schema: ${issues.join('; ')}`, issues);
}
