export * from 'govuk-frontend/dist/govuk/all.mjs';
