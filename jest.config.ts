/** @jest-config-loader esbuild-register */
import type { Config } from 'jest';

// npm run test:nest11: the same sources and specs on the Nest of test/nest-11.
const nest11 = {
  '^@nestjs/(common|core|testing|microservices|platform-express)(/.*)?$':
    '<rootDir>/test/nest-11/node_modules/@nestjs/$1$2',
};

const config: Config = {
  testEnvironment: 'node',
  // lib must be a root too: collectCoverageFrom only sees untested files that lie under a root.
  globalSetup: '<rootDir>/test/support/brokers.ts',
  roots: ['<rootDir>/lib', '<rootDir>/sample', '<rootDir>/test'],
  testMatch: ['<rootDir>/test/**/*.spec.ts', '<rootDir>/sample/**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  // NodeNext sources import './x.js'; in lib/ that file is './x.ts'. '.js' first, for node_modules.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': ['$1.js', '$1.ts'], ...(process.env.NEST === '11' && nest11) },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        sourceMaps: 'inline',
        module: { type: 'es6' },
        jsc: {
          target: 'es2023',
          keepClassNames: true,
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
        },
      },
    ],
  },
  collectCoverageFrom: ['lib/**/*.ts'],
  coverageDirectory: 'coverage',
  coverageReporters: ['text', 'lcov'],
  testTimeout: 30_000,
  // On 2 cores the default is 1 worker; every spec file reloads Nest (~0.3-0.5 s) and keeps ~20 MB.
  maxWorkers: 2,
  workerIdleMemoryLimit: '768MB',
  restoreMocks: true,
};

export default config;
