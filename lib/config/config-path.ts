import type { ConfigNode } from './config-node.js';

/** The path of a property, as complaints write it: `consume.groups["mail.send"]`. */
export function propertyPath(path: string, key: string): string {
  if (!/^[\w$-]+$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}

/** The path of a property of `node`, without a key that comes from a variable. */
export function childPath(node: ConfigNode, path: string, key: string): string {
  if (node.kind !== 'object' || node.writtenAs === undefined) return propertyPath(path, key);
  const hidden = `a key of ${node.writtenAs}`;
  return path.endsWith(hidden) ? path : `${path}: ${hidden}`;
}

export function itemPath(path: string, index: number): string {
  return `${path}[${index}]`;
}
