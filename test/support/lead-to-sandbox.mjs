// Preloaded by an example whose SDK has a fixed https host: its connections end at the sandbox.
import https from 'node:https'
import { connect } from 'node:tls'

https.globalAgent.createConnection = (options) =>
  connect({
    host: '127.0.0.1',
    port: Number(process.env.SANDBOX_HTTPS_PORT),
    servername: options.servername ?? options.hostname ?? options.host,
  })
