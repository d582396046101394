// Adds jobs, `concurrency` at a time over one connection, which pipelines. Arguments: port, jobs, concurrency.
import { Queue } from 'bullmq';

const [port, jobs, concurrency] = process.argv.slice(2).map(Number);
const queue = new Queue('dispatch', {
  connection: { host: '127.0.0.1', port },
  // What is done goes, as a message that was acknowledged does.
  defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
});
const payload = JSON.parse(process.env.PAYLOAD);
let left = jobs;

async function caller() {
  while (left-- > 0) await queue.add('run', payload);
}

await queue.waitUntilReady();
console.log('ready');
await new Promise((resolve) => process.stdin.once('data', resolve));
await Promise.all(Array.from({ length: concurrency }, caller));
console.log('done');
process.exit(0);
