import type { TProperties, TSchema } from 'typebox'
import { ERRORS, type ErrorCode } from '../lib/errors.ts'
import { Type } from '../lib/type.ts'

const CODES = Object.keys(ERRORS)

const optional = (schema: TSchema) => Type.Optional(schema)
const GenerationMember = optional(
  Type.Integer({ description: 'generation of the stored pair; absent when there is none' }),
)
const OutcomeMember = Type.String({ description: 'code of the outcome, see docs/api.md' })

/** The members that a code adds to its problem document. */
export const PROBLEM_MEMBERS: Partial<Record<ErrorCode, TProperties>> = {
  reauth_required: {
    connect_url: Type.String({ description: 'an administrator of the account opens it' }),
    last_error: Type.String({ description: 'code of the last failure, see docs/api.md' }),
  },
  ambiguous_account: {
    integrations: Type.Array(Type.String(), { description: 'integrations that have the account' }),
  },
  account_exists: { generation: GenerationMember },
  generation_moved: { generation: GenerationMember },
  import_refused: { reason: Type.String({ description: 'code of the reason, see docs/api.md' }) },
  onboarding_failed: {
    outcome: OutcomeMember,
    onboarding_id: Type.String({ description: 'for GET /onboardings/:onboarding' }),
  },
  exchange_refused: { outcome: OutcomeMember },
}

/** RFC 9457, plus `code`, `request_id` and `remedy`. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'what is wrong with this request' }),
    code: Type.Enum(CODES, { description: 'stable; see docs/api.md for what to do' }),
    request_id: Type.String({ description: 'the broker’s log has it too' }),
    remedy: Type.String({ description: 'what to do' }),
  },
  {
    $id: 'Problem',
    additionalProperties: true,
    description: 'RFC 9457. Some codes add members: see the schemas of their names.',
  },
)

/** The problem documents of the codes that add members, such as `ReauthRequiredProblem`. */
export const PROBLEM_SCHEMAS: TSchema[] = Object.entries(PROBLEM_MEMBERS).map(([code, members]) =>
  Type.Intersect([Type.Ref('Problem'), Type.Object({ code: Type.Literal(code), ...members })], {
    $id: problemName(code),
    description: `\`${code}\``,
  }),
)

/** Returns the schema of a problem document with one of these codes. */
export function problemSchemaFor(codes: readonly ErrorCode[]): TSchema {
  const plain = codes.filter((code) => PROBLEM_MEMBERS[code] === undefined)
  const options: TSchema[] = codes
    .filter((code) => PROBLEM_MEMBERS[code] !== undefined)
    .map((code) => Type.Ref(problemName(code)))
  if (plain.length > 0) {
    options.push(
      Type.Intersect([Type.Ref('Problem'), Type.Object({ code: Type.Enum([...plain]) })]),
    )
  }
  const [only] = options
  return only !== undefined && options.length === 1 ? only : Type.Union(options)
}

/** Returns the name of a code's schema: `reauth_required` is `ReauthRequiredProblem`. */
function problemName(code: string): string {
  return `${code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Problem`
}
