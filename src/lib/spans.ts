import { createRequire } from 'node:module'
import type { Attributes, Link, Span } from '@opentelemetry/api'
import { requestTrace } from './request-context.ts'

/** The copy that the metrics library has loaded already. An SDK registers with every copy. */
const { context, isSpanContextValid, SpanStatusCode, trace } = createRequire(import.meta.url)(
  '@opentelemetry/api',
) as typeof import('@opentelemetry/api')

/** Without an OpenTelemetry SDK in the process, its spans do nothing. */
const tracer = trace.getTracer('amo-token-broker')

/** Every span of the broker. docs/operations.md explains them. */
export type SpanName =
  | 'amo.refresh'
  | 'amo.refresh.lock'
  | 'amo.refresh.claim'
  | 'amo.refresh.send'
  | 'amo.refresh.store'
  | 'amo.refresh.commit'
  | 'amo.probe'
  | 'amo.onboarding'
  | 'amo.onboarding.exchange'
  | 'amo.onboarding.confirm'
  | 'amo.onboarding.store'
  | 'amo.delivery'

/** The attributes of a span, without their prefix `amo.`. Never a secret, and nothing of a URL. */
export interface SpanFields {
  integration?: string
  account?: number
  generation?: number
  attempt?: number
  lane?: string
  inbox?: string
  /** Host or origin that is called. */
  host?: string
  /** The token that a probe asks about. */
  probed?: 'refresh_token' | 'access_token'
  /** Number of this try, from 1. */
  try?: number
}

/**
 * Runs a step as a span of the present trace. Outside of a trace, begins one that is linked to the
 * caller's span, if a request caused it.
 *
 * Returns the very promise of `run`: whoever awaits the step goes on in the same tick with and
 * without a span. `outcomeOf` names what came of the step; a failure is recorded by its code or
 * name only, because messages may quote what they should not.
 */
export function inSpan<T>(
  name: SpanName,
  fields: SpanFields,
  run: () => Promise<T>,
  outcomeOf?: (result: T) => string,
): Promise<T> {
  return isInTrace()
    ? runAs(startSpan(name, fields), run, outcomeOf)
    : beginTrace(name, fields, run, outcomeOf)
}

/** As `inSpan`, always in a trace of its own. */
export function beginTrace<T>(
  name: SpanName,
  fields: SpanFields,
  run: () => Promise<T>,
  outcomeOf?: (result: T) => string,
): Promise<T> {
  const span = tracer.startSpan(name, {
    root: true,
    attributes: attributesOf(fields),
    links: links(),
  })
  return runAs(span, run, outcomeOf)
}

/** Adds a span that is over already. For steps before which nothing at all may run. */
export function recordSpan(name: SpanName, fields: SpanFields, startedAt: Date): void {
  if (isInTrace())
    tracer.startSpan(name, { attributes: attributesOf(fields), startTime: startedAt }).end()
}

function startSpan(name: SpanName, fields: SpanFields): Span {
  return tracer.startSpan(name, { attributes: attributesOf(fields) })
}

function isInTrace(): boolean {
  return trace.getActiveSpan() !== undefined
}

function runAs<T>(
  span: Span,
  run: () => Promise<T>,
  outcomeOf: ((result: T) => string) | undefined,
): Promise<T> {
  if (!isSpanContextValid(span.spanContext())) return run()
  const running = context.with(trace.setSpan(context.active(), span), run)
  running.then(
    (result) => {
      if (outcomeOf !== undefined) span.setAttribute('amo.outcome', outcomeOf(result))
      span.end()
    },
    (error) => {
      span.setAttribute('error.type', codeOf(error))
      span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    },
  )
  return running
}

function attributesOf(fields: SpanFields): Attributes {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`amo.${name}`, value]))
}

function links(): Link[] {
  const caller = requestTrace()
  if (caller === undefined) return []
  const { traceId, spanId, flags } = caller
  return [{ context: { traceId, spanId, traceFlags: flags, isRemote: true } }]
}

function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return String(code ?? name ?? 'unknown')
}
