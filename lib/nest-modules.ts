import type { ModuleRef, ModulesContainer } from '@nestjs/core';

/**
 * All modules of the application. Not the injected `ModulesContainer`: it is a Map, and where an application wraps its
 * instances in proxies (`instrument.instanceDecorator`) the methods of a Map refuse to work.
 */
export function modulesOf(moduleRef: ModuleRef): ModulesContainer {
  const { container } = moduleRef as unknown as { readonly container: { getModules(): ModulesContainer } };
  return container.getModules();
}
