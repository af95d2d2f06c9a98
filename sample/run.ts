// Runs one of the small samples: `npm run sample -- headers`.
const SAMPLES = ['headers', 'unroutable', 'config', 'python', 'rendezvous', 'rpc'] as const;

const [name] = process.argv.slice(2);
if (SAMPLES.some((one) => one === name)) await import(`./${name}/main.ts`);
else {
  console.error(`usage: npm run sample -- ${SAMPLES.join('|')}
On RabbitMQ instead of in memory: EVENT_BUS_URL=amqp://guest:guest@127.0.0.1:5672 npm run sample -- …
(python and rendezvous always need RabbitMQ.)`);
  process.exitCode = 2;
}
