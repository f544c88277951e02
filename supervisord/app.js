// The sample app: answers "Hello from <hostname>" on port 8000. START_DELAY, in
// seconds, makes it an app that takes its time to start.
const http = require('http');
const os = require('os');

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain');
  response.end(`Hello from ${os.hostname()}\n`);
});

setTimeout(() => {
  server.listen(8000, () => console.log('the app listens on port 8000'));
}, Number(process.env.START_DELAY || 0) * 1000);

// By then the key is long gone. Whoever asks still gets an answer.
process.on('SIGTERM', () => {
  console.log('the app stops');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
