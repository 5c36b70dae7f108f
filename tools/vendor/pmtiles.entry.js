// Reading PMTiles by ranges of bytes.
export { PMTiles } from 'pmtiles';
