import type { ColumnType } from 'kysely'

/** A time that the database sets when the row is inserted. */
export type GeneratedTime = ColumnType<Date, never, Date>
