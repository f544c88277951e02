// The sample app: answers "Hello from <hostname>" on port 8000.
const http = require('http');
const os = require('os');

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain');
  response.end(`Hello from ${os.hostname()}\n`);
});

server.listen(8000, () => console.log('the app listens on port 8000'));

process.on('SIGTERM', () => {
  console.log('the app stops');
  process.exit(0);
});
