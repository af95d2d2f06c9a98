/** How 64-bit integers come out. */
export type Int64Form = 'bigint' | 'string' | 'number';

/** What protobufjs makes of a 64-bit integer. */
export interface LongLike {
  readonly low: number;
  readonly high: number;
}

/** @param type as the schema names it */
export function isUnsigned(type: string): boolean {
  return type === 'uint64' || type === 'fixed64';
}

export function inForm(value: bigint | number, form: Int64Form): bigint | string | number {
  if (form === 'string') return value.toString();
  return form === 'number' ? Number(value) : BigInt(value);
}

/** In arithmetic of BigInt only where that of numbers is not exact: it is slow. */
export function fromLong({ low, high }: LongLike, unsigned: boolean, form: Int64Form): bigint | string | number {
  const top = unsigned ? high >>> 0 : high;
  if (top >= -0x20_0000 && top < 0x20_0000) return inForm(top * 2 ** 32 + (low >>> 0), form);
  const bits = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  return inForm(unsigned ? bits : BigInt.asIntN(64, bits), form);
}
