// The ground that positions are drawn on: tiles from our own server, as PMTiles (read in ranges of bytes) or one by one (MBTiles).
// Where the file ends, and where there is none, the grid is enough to read distances and directions.
import { DataTileSource, MVT, TileLayer, TileState, VectorTileLayer, VectorTileSource, createXYZ } from '../vendor/ol.js';
import { PMTiles } from '../vendor/pmtiles.js';
import { onMap } from './geodesy.js';
import { groundStyle } from './ground_style.js';

const VECTOR_TILE_PX = 512;
const PICTURE_PX = 256;
const KEPT_TILES = 128;

/** The layer of a file, or nothing. `onFailure` is called once, when a tile cannot be had. */
export function groundLayers(file, onFailure) {
  if (!file) return [];
  const read = once(file.container === 'pmtiles' ? readerOfPMTiles(file) : readerOfTiles(file), onFailure);
  const [west, south, east, north] = file.bounds;
  const area = {
    className: 'emtrack-map__ground',
    extent: [...onMap(west, Math.max(south, -85)), ...onMap(east, Math.min(north, 85))],
    minZoom: file.min_zoom - 1.5, // further out a screen would take hundreds of tiles
  };
  if (file.content !== 'mvt') return [new TileLayer({ ...area, source: pictureSource(file, read) })];
  return [new VectorTileLayer({ ...area, source: vectorSource(file, read), style: groundStyle(file), declutter: 'ground', renderBuffer: 64 })];
}

function once(read, onFailure) {
  let told = false;
  return async (...address) => {
    try {
      return await read(...address);
    } catch (failure) {
      if (!told) onFailure();
      told = true;
      throw failure;
    }
  };
}

function readerOfPMTiles(file) {
  const archive = new PMTiles(new URL(file.address, location.origin).href);
  return async (z, x, y) => (await archive.getZxy(z, x, y))?.data ?? null;
}

function readerOfTiles(file) {
  return async (z, x, y) => {
    const address = file.address.replace('{z}', z).replace('{x}', x).replace('{y}', y);
    const answer = await fetch(address, { credentials: 'same-origin' });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.status === 204 ? null : answer.arrayBuffer();
  };
}

const gridOf = (file, tileSize) => createXYZ({ minZoom: file.min_zoom, maxZoom: file.max_zoom, tileSize });

function vectorSource(file, read) {
  const format = new MVT({ layerName: 'layer' });
  return new VectorTileSource({
    format,
    url: '{z}/{x}/{y}', // never asked: tiles come through `read`
    tileGrid: gridOf(file, VECTOR_TILE_PX),
    cacheSize: KEPT_TILES,
    wrapX: false,
    tileLoadFunction: (tile) => tile.setLoader(async (extent, _, featureProjection) => {
      try {
        const data = await read(...tile.tileCoord);
        tile.setFeatures(data ? format.readFeatures(data, { extent, featureProjection }) : []);
      } catch {
        tile.setState(TileState.ERROR);
      }
    }),
  });
}

function pictureSource(file, read) {
  return new DataTileSource({
    tileGrid: gridOf(file, PICTURE_PX),
    tileSize: PICTURE_PX,
    wrapX: false,
    loader: async (z, x, y) => {
      const data = await read(z, x, y);
      return data ? createImageBitmap(new Blob([data])) : createImageBitmap(new ImageData(PICTURE_PX, PICTURE_PX));
    },
  });
}
