// Sends the broker's spans to an OpenTelemetry collector over OTLP/HTTP, without automatic
// instrumentation: a span for each request doubles the processor time of a read. Load it before the
// broker; docs/logs-and-traces.md shows how.
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

const { OTEL_SERVICE_NAME = 'amo-token-broker', OTEL_BSP_SCHEDULE_DELAY = '5000' } = process.env

const provider = new TracerProvider({
  resource: resourceFromAttributes({ 'service.name': OTEL_SERVICE_NAME }),
  spanProcessors: [
    new BatchSpanProcessor({
      exporter: new OTLPTraceExporter(),
      scheduledDelayMillis: Number(OTEL_BSP_SCHEDULE_DELAY),
    }),
  ],
})
context.setGlobalContextManager(new AsyncLocalStorageContextManager())
trace.setGlobalTracerProvider(provider)

// The broker ends later than this: it waits for responses that are on their way.
process.once('SIGTERM', () => provider.forceFlush().catch(() => {}))
