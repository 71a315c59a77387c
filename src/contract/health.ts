import { Type } from '../lib/type.ts'

export const LivenessSchema = Type.Object(
  { status: Type.Literal('ok') },
  { description: 'the process answers' },
)

const status = Type.Enum(['ok', 'degraded', 'starting', 'unmigrated', 'draining'])

/** For the public listener: anybody may ask. */
export const PublicReadinessSchema = Type.Object(
  { status },
  { description: '200: send requests here; 503: do not' },
)

export const ReadinessSchema = Type.Object(
  {
    status,
    mode: Type.Enum(['embedded', 'standalone', 'replicated']),
    degraded: Type.Array(Type.String({ description: 'what does not work, and the effect' })),
  },
  { description: '200: send requests here; 503: do not' },
)
