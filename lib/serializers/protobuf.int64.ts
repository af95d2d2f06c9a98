/** How 64-bit integers come out. */
export type Int64Form = 'bigint' | 'string' | 'number';

/** @param type as the schema names it */
export function isUnsigned(type: string): boolean {
  return type === 'uint64' || type === 'fixed64';
}

export function inForm(value: bigint, form: Int64Form): bigint | string | number {
  if (form === 'string') return value.toString();
  return form === 'number' ? Number(value) : value;
}
