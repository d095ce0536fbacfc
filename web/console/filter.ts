import type { ExportQuery } from '../../src/core/schemas.ts';

export type Filter = Omit<ExportQuery, 'format'>;
