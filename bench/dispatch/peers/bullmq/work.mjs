// Processes jobs, `concurrency` at a time, and says when the last one is completed. Arguments: port, jobs, concurrency.
import { Worker } from 'bullmq';

const [port, jobs, concurrency] = process.argv.slice(2).map(Number);
const worker = new Worker('dispatch', async () => {}, {
  connection: { host: '127.0.0.1', port },
  concurrency,
});
let completed = 0;
worker.on('completed', () => {
  if (++completed === jobs) {
    console.log('done');
    process.exit(0);
  }
});
worker.on('error', (error) => console.error(error));
await worker.waitUntilReady();
console.log('ready');
