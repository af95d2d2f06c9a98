import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, loadEventBusConfig } from '../../../lib/index.js';
import { ConfigFolder } from '../support/config-folder.js';

type Files = Readonly<Record<string, string | Uint8Array>>;

/** The file, or all of them by name; what is said of them; the variables. */
type Bad = readonly [
  title: string,
  files: string | Files,
  complaints: readonly string[],
  env?: Readonly<Record<string, string>>,
];

const SECRET = 'hunter2-hunter2';
const MODULE =
  'export const notClass = 5; export class Rule {} export class Picky { constructor() { throw new TypeError("no"); } }';

const SYNTAX: readonly Bad[] = [
  ['nothing in it', '', ['event-bus.jsonc:1:1: expected a value.']],
  ['only a comment', '// soon\n', ['event-bus.jsonc:2:1: expected a value.']],
  ['no object', '[1]', ['event-bus.jsonc:1: a configuration must be an object.']],
  [
    'two missing commas',
    '{\n  "service": "a"\n  "namespace": "b"\n  "autoStart": true\n}',
    ['event-bus.jsonc:3:3: expected a comma.', 'event-bus.jsonc:4:3: expected a comma.'],
  ],
  ['a missing colon', '{ "service" "a" }', ['event-bus.jsonc:1:13: expected a colon.']],
  ['a missing value', '{\n  "service": ,\n}', ['event-bus.jsonc:2:14: expected a value.']],
  [
    'a missing brace',
    '{ "publish": {\n  "window": 5\n}\n',
    ['event-bus.jsonc:4:1: expected } before the end of the file.'],
  ],
  ['a missing bracket', '{ "accept": ["json"\n}', ['event-bus.jsonc:2:1: expected a comma.']],
  ['a name without quotes', '{ service: "a" }', ['event-bus.jsonc:1:3: expected a property name in double quotes.']],
  [
    'a value without quotes',
    `{ "transport": ${SECRET} }`,
    [
      `event-bus.jsonc:1:16: expected a value: text in double quotes, a number, true, false, null, an object, an array or \${NAME}.`,
    ],
  ],
  ['single quotes', '{ "service": \'a\' }', ['event-bus.jsonc:1:14: expected double quotes; JSON has no single ones.']],
  [
    'a text that goes on',
    '{ "service": "a\n" }',
    ['event-bus.jsonc:1:14: this text has no closing quote on its line.'],
  ],
  [
    'an escape that is none',
    '{ "service": "C:\\dir" }',
    ['event-bus.jsonc:1:14: this text has an escape that JSON does not know; a backslash itself is written \\\\.'],
  ],
  ['a number that ends early', '{ "autoStart": 1. }', ['event-bus.jsonc:1:16: this number is not complete.']],
  ['a comment without an end', '{} /* and so', ['event-bus.jsonc:1:4: this comment has no closing */.']],
  ['something behind the end', '{}\n{}', ['event-bus.jsonc:2:1: expected the end of the file.']],
  [
    'Python in JSON',
    '{ "autoStart": True }',
    ['event-bus.jsonc:1:16: True is Python; write true. (A file whose name ends in .jsonp may have it.)'],
  ],
  [
    'a reference without an end',
    `{ "service": \${SERVICE }`,
    [
      `event-bus.jsonc:1:14: a reference must be \${NAME}, \${NAME:-default} or \${.path.to.key}. For the characters \${ themselves write $\${.`,
    ],
  ],
  [
    'arrays without end',
    '['.repeat(20_000),
    ['event-bus.jsonc:1:101: more than 100 arrays and objects within each other.'],
  ],
  ['not UTF-8', { 'event-bus.jsonc': Buffer.from([0x7b, 0xff, 0x7d]) }, ['event-bus.jsonc: is not UTF-8.']],
  ['too large', ' '.repeat(1_048_577), ['event-bus.jsonc: is larger than 1048576 bytes.']],
  ['absent', {}, ['event-bus.jsonc: there is no such file.']],
];

const REFERENCES: readonly Bad[] = [
  [
    'a variable that is not set',
    `{\n  "transport": {\n    "type": "rabbitmq",\n    "url": "amqp://\${USER}:\${PASSWORD}@host"\n  }\n}`,
    [`event-bus.jsonc:4: transport.url: the variable PASSWORD is not set; set it, or write \${PASSWORD:-default}.`],
    { USER: SECRET },
  ],
  [
    'one that is not set, without quotes',
    `{ "publish": { "window": \${WINDOW} } }`,
    [`event-bus.jsonc:1: publish.window: the variable WINDOW is not set; set it, or write \${WINDOW:-default}.`],
  ],
  [
    'the name of a key for that of a variable',
    `{ "service": "a", "namespace": "\${service}" }`,
    [`event-bus.jsonc:1: namespace: the variable service is not set. The key of this file is \${.service}.`],
  ],
  [
    'a malformed reference',
    `{ "service": "\${${SECRET}}" }`,
    [
      `event-bus.jsonc:1: service: a reference must be \${NAME}, \${NAME:-default} or \${.path.to.key}. For the characters \${ themselves write $\${.`,
    ],
  ],
  [
    'a reference without a brace, within a text',
    `{ "service": "\${NAME" }`,
    [
      `event-bus.jsonc:1: service: a reference that begins with \${ has no closing }. For the characters themselves write $\${.`,
    ],
  ],
  [
    'a reference for a key',
    `{ \${NAME}: 1 }`,
    ['event-bus.jsonc:1: the file has a reference for a key; only values may be references.'],
    { NAME: 'service' },
  ],
  [
    'a key that is not there',
    `{ "service": "\${.servce}" }`,
    [`event-bus.jsonc:1: service: \${.servce} is no key of this file.`],
  ],
  [
    'keys that refer to each other',
    `{\n  "service": "\${.namespace}",\n  "namespace": "\${.service}"\n}`,
    [
      `event-bus.jsonc:2: service: \${.namespace} refers to itself.`,
      `event-bus.jsonc:3: namespace: \${.service} refers to itself.`,
    ],
  ],
  [
    'an object within a text',
    `{ "publish": { "window": 5 }, "service": "\${.publish}" }`,
    [`event-bus.jsonc:1: service: \${.publish} is no text, and cannot be a part of one.`],
  ],
  [
    'a value of the wrong type from a variable',
    `{ "publish": {\n  "window": "\${WINDOW}" } }`,
    ['event-bus.jsonc:2: publish.window must be a whole number, not a string.'],
    { WINDOW: SECRET },
  ],
  [
    'a number that is out of range, from a variable',
    `{ "publish": { "window": \${WINDOW} } }`,
    ['event-bus.jsonc:1: publish.window must be a whole number from 1 to 100000.'],
    { WINDOW: '1234567890' },
  ],
];

const IMPORTS: readonly Bad[] = [
  [
    'files that import each other',
    {
      'event-bus.jsonc': '{\n  "[import]": "./a.jsonc"\n}',
      'a.jsonc': '{ "publish": { "[import]": "./b.jsonc" } }',
      'b.jsonc': '{\n\n  "[import]": ["./event-bus.jsonc"] }',
    },
    [
      'b.jsonc:3: publish["[import]"] goes round in a circle: event-bus.jsonc -> a.jsonc -> b.jsonc -> event-bus.jsonc.',
    ],
  ],
  [
    'an import that is not there',
    '{\n"[import]": "./a.jsonc" }',
    ['event-bus.jsonc:2: ["[import]"] names a file that is not there: a.jsonc.'],
  ],
  [
    'an import of a number',
    '{ "[import]": 5 }',
    ['event-bus.jsonc:1: ["[import]"] must be the path of a file, or an array of them.'],
  ],
  [
    'a syntax error in an import',
    { 'event-bus.jsonc': '{ "[import]": "./a.jsonc" }', 'a.jsonc': '{\n  "service" }' },
    ['a.jsonc:2:13: expected a colon.'],
  ],
  [
    'a wrong value in an import, and another in the overlay',
    {
      'event-bus.jsonc': '{ "[import]": "./a.jsonc" }',
      'a.jsonc': '{\n  "publish": { "windw": 5 }\n}',
      'event-bus.production.jsonc': '{\n\n  "shutdown": { "deadlineMs": "soon" }\n}',
    },
    [
      'a.jsonc:2: publish.windw is not an option. Did you mean "window"?',
      'event-bus.production.jsonc:3: shutdown.deadlineMs must be a whole number, not a string.',
    ],
    { NODE_ENV: 'production' },
  ],
  [
    'an environment that is no name',
    '{}',
    ['environment (NODE_ENV, unless given) must be 1 to 64 letters, digits or _ -'],
    { NODE_ENV: '../x' },
  ],
];

const OPTIONS: readonly Bad[] = [
  [
    'everything at once',
    `{
  "servce": "orders",
  "name": "a b",
  "isGlobal": "yes",
  "publish": {
    "unroutable": "wrn",
    "buffer": { "messages": -1 }
  },
  "consume": {
    "groups": {
      "mail.send": { "retry": { "delaysMs": [
        1000,
        0
      ] } }
    }
  }
}`,
    [
      'event-bus.jsonc:2: servce is not an option. Did you mean "service"?',
      'event-bus.jsonc:3: name must be 1 to 64 letters, digits or . _ -.',
      'event-bus.jsonc:4: isGlobal must be true or false, not a string.',
      'event-bus.jsonc:6: publish.unroutable must be one of "warn", "reject", "ignore", "store", "alternate-exchange". Did you mean "warn"?',
      'event-bus.jsonc:7: publish.buffer.messages must be a whole number from 0 to 10000000; got -1.',
      'event-bus.jsonc:13: consume.groups["mail.send"].retry.delaysMs[1] must be a whole number from 1 to 86400000; got 0.',
    ],
  ],
  [
    'a key that is there twice',
    '{\n  "service": "a",\n  "autoStart": true,\n  "service": "b"\n}',
    ['event-bus.jsonc:4: service is set twice; first in line 2.'],
  ],
  [
    'an option of the transport',
    `{ "transport": {\n "type": "rabbitmq",\n "url": "amqp://a:${SECRET}@host",\n "heartbeat": 5 } }`,
    ['event-bus.jsonc:4: transport.heartbeat is not an option. Did you mean "heartbeatMs"?'],
  ],
  [
    'a URL that is none',
    `{ "transport": {\n "type": "rabbitmq",\n "urls": [\n"amqp://a",\n"amqp://a:${SECRET}#x@host"] } }`,
    [
      'event-bus.jsonc:5: transport.urls[1] is not a valid URL; expected amqp://user:password@host:5672/vhost with special characters percent-encoded.',
    ],
  ],
  [
    'a transport that is not known',
    '{\n"transport": { "type": "rabitmq" } }',
    ['event-bus.jsonc:2: transport.type is unknown. Did you mean "rabbitmq"?'],
  ],
  [
    'a password that might be taken for a module',
    `{ "transport": "amqp://a:${SECRET}#Export" }`,
    [
      'event-bus.jsonc:1: transport.url is not a valid URL; expected amqp://user:password@host:5672/vhost with special characters percent-encoded.',
    ],
  ],
  [
    'a rule for delays, wrong in all ways',
    '{ "consume": {\n"retry": { "exponential": { "attempts": 0, "factr": 2 } },\n"unmatched": { "fixed": { "attempts": 2, "delayMs": 5 }, "delaysMs": [5] } } }',
    [
      'event-bus.jsonc:2: consume.retry.exponential.initialMs is required.',
      'event-bus.jsonc:2: consume.retry.exponential.attempts must be a whole number from 1 to 100; got 0.',
      'event-bus.jsonc:2: consume.retry.exponential.factr is not an option. Did you mean "factor"?',
      'event-bus.jsonc:3: consume.unmatched has fixed and delaysMs; keep one. (null takes away what another file has set.)',
    ],
  ],
  [
    'modules that are not there, or not what is wanted',
    {
      'event-bus.jsonc': `{
  "inbox": "./absent.mjs#Inbox",
  "serializer": "./module.mjs#rule",
  "logger": "./module.mjs#notClass",
  "exchange": "./module.mjs#Rule",
  "transport": { "[module]": "./module.mjs#Picky", "arg": [] },
  "accept": ["json", { "[module]": "./module.mjs#notClass", "args": [5] }, "no-such-package-here#X"]
}`,
      'module.mjs': MODULE,
    },
    [
      'event-bus.jsonc:2: inbox: its module, or one that this imports, cannot be found.',
      'event-bus.jsonc:3: serializer: its module has no such export. Did you mean "Rule"?',
      'event-bus.jsonc:4: logger must have the methods log, warn, error.',
      'event-bus.jsonc:5: exchange must have the methods assertRule, assertTopic, matches, specificity, overlap.',
      'event-bus.jsonc:6: transport: cannot be made with these arguments: it threw a TypeError.',
      'event-bus.jsonc:6: transport.arg is not known beside "[module]". Known: args.',
      'event-bus.jsonc:7: accept[1]: cannot be made with these arguments: args are for classes and functions, and this is neither.',
      'event-bus.jsonc:7: accept[2]: its module, or one that this imports, cannot be found.',
    ],
  ],
  [
    'modules and files that are not named as they must be',
    `{
  "inbox": { "[module]": 5 },
  "logger": { "[module]": "\${LOGGER}" },
  "serializer": { "[module]": "./module.mjs#Rule", "args": {} },
  "accept": [{ "[module]": "./module.mjs#Rule", "args": [{ "level": "\${LEVEL}" }] }],
  "service": { "[file]": "./a.txt", "encoding": "utf8" },
  "namespace": { "[file]": "\${NAMESPACE}" },
  "exchange": { "[file]": "." },
}`,
    [
      'event-bus.jsonc:2: inbox must name a module: "./file.js#Export" or "package#Export".',
      `event-bus.jsonc:3: logger["[module]"]: the variable LOGGER is not set; set it, or write \${LOGGER:-default}.`,
      'event-bus.jsonc:4: serializer.args must be an array.',
      `event-bus.jsonc:5: accept[0].args[0].level: the variable LEVEL is not set; set it, or write \${LEVEL:-default}.`,
      'event-bus.jsonc:6: service must be { "[file]": "./path" } and nothing else.',
      `event-bus.jsonc:7: namespace["[file]"]: the variable NAMESPACE is not set; set it, or write \${NAMESPACE:-default}.`,
      'event-bus.jsonc:8: exchange: the file is not a regular file.',
    ],
  ],
  [
    'a module whose name holds a secret',
    `{ "inbox": "./\${NAME}.mjs#Inbox" }`,
    ['event-bus.jsonc:1: inbox: its module, or one that this imports, cannot be found.'],
    { NAME: SECRET },
  ],
  [
    'a file in place of a text',
    '{ "transport": { "type": "rabbitmq", "url": "amqps://a",\n"tls": { "ca": { "[file]": "./ca.pem" } } } }',
    ['event-bus.jsonc:2: transport.tls.ca: the file does not exist.'],
  ],
];

const LEGACY: readonly Bad[] = [
  [
    'keys of EventBusClient that cannot be meant',
    `{
  "serializer": "PickleSerializer",
  "exchange_handler": "TopicHandler",
  "host": "user:${SECRET}@host",
  "port": 0,
  "qos_prefetch": 0,
  "loglevel": "LOUD"
}`,
    [
      'event-bus.jsonc:2: serializer: PickleSerializer is not read, because reading a pickle runs code that the sender chose. Use "structured" or "json".',
      'event-bus.jsonc:3: exchange_handler must be one of "TopicExchangeHandler", "FanoutExchangeHandler", "HeadersExchangeHandler", "XRTopicExchangeHandler".',
      'event-bus.jsonc:3: exchange_handler: a rule of your own is a module, in the option exchange.',
      'event-bus.jsonc:4: host must be the name or the address of a host.',
      'event-bus.jsonc:5: port must be a whole number from 1 to 65535; got 0.',
      'event-bus.jsonc:6: qos_prefetch: consume.prefetch must be a whole number from 1 to 65535; got 0.',
      'event-bus.jsonc:7: loglevel must be one of "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL".',
    ],
  ],
  [
    'keys of EventBusClient whose variables are not set',
    `{ "host": "\${HOST}",\n"exchange_handler": "\${TYPE}", "loglevel": "\${LEVEL}" }`,
    [
      `event-bus.jsonc:1: host: the variable HOST is not set; set it, or write \${HOST:-default}.`,
      `event-bus.jsonc:2: exchange_handler: the variable TYPE is not set; set it, or write \${TYPE:-default}.`,
      `event-bus.jsonc:2: loglevel: the variable LEVEL is not set; set it, or write \${LEVEL:-default}.`,
    ],
  ],
  [
    'keys of EventBusClient beside the options that say the same',
    `{
  "host": "broker", "transport": "memory:",
  "exchange_name": "a", "exchange": "b",
  "qos_prefetch": 5, "consume": { "prefetch": 6 }
}`,
    [
      'event-bus.jsonc:2: host and transport say the same; keep transport.',
      'event-bus.jsonc:3: exchange_name and exchange say the same; keep exchange.',
      'event-bus.jsonc:4: qos_prefetch and consume.prefetch say the same; keep consume.prefetch.',
    ],
  ],
];

it.each([[new URL('https://example.org/event-bus.jsonc')], [undefined]])(
  'what is neither a path nor the URL of a file is refused: %s',
  async (path) => {
    await expect(loadEventBusConfig(path as unknown as string)).rejects.toThrow(ConfigurationError);
  },
);

describe.each([
  ['syntax', SYNTAX],
  ['references', REFERENCES],
  ['imports and overlays', IMPORTS],
  ['options', OPTIONS],
  ['older keys', LEGACY],
])('bad files: %s', (_, table) => {
  it.each(table)('%s', async (_title, files, complaints, env = {}) => {
    using folder = new ConfigFolder(typeof files === 'string' ? { 'event-bus.jsonc': files } : files);
    const problems = await folder.problems({ env });
    expect(problems).toEqual(complaints);
    expect(problems.join('\n')).not.toContain(SECRET);
  });
});
