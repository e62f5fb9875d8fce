internal import CKernels

/// Attention of a tile of queries against the cached keys and values of one key/value head.
///
/// Query i stands at position `firstPosition + i / group`; consecutive queries of one position are the query
/// heads that share the key/value head (grouped-query attention).
public struct AttentionTile {
  /// The first query; query i is at `(i / group) * queryStride + (i % group) * headSize`.
  public var queries: UnsafePointer<Float>
  /// The elements from one position's queries to the next position's.
  public var queryStride: Int
  /// The number of queries: positions × `group`.
  public var queryCount: Int
  /// The query heads that share the key/value head.
  public var group: Int
  /// The first key; key j is at `j * cacheStride`.
  public var keys: UnsafePointer<Float>
  /// The first value; value j is at `j * cacheStride`.
  public var values: UnsafePointer<Float>
  /// The elements from one key (or value) to the next.
  public var cacheStride: Int
  /// The number of keys, from position 0 on.
  public var keyCount: Int
  /// The elements of a head.
  public var headSize: Int
  /// The position of query 0.
  public var firstPosition: Int
  /// Whether a query sees only keys at its own position and before.
  public var isCausal: Bool
  /// How many keys a causal query sees at most, its own included; nil for all.
  public var window: Int?
  /// What scores are multiplied by, usually 1/√headSize.
  public var scale: Float
  /// The first result; result i is at `(i / group) * resultStride + (i % group) * headSize`.
  public var results: UnsafeMutablePointer<Float>
  /// The elements from one position's results to the next position's.
  public var resultStride: Int
  /// Where log Σ exp of each query's scores goes; nil for nowhere.
  public var logs: UnsafeMutablePointer<Float>?

  /// A tile over given memory; see the properties for shapes.
  public init(
    queries: UnsafePointer<Float>, queryStride: Int, queryCount: Int, group: Int,
    keys: UnsafePointer<Float>, values: UnsafePointer<Float>, cacheStride: Int, keyCount: Int,
    headSize: Int, firstPosition: Int, isCausal: Bool, window: Int? = nil, scale: Float,
    results: UnsafeMutablePointer<Float>, resultStride: Int
  ) {
    self.queries = queries
    self.queryStride = queryStride
    self.queryCount = queryCount
    self.group = group
    self.keys = keys
    self.values = values
    self.cacheStride = cacheStride
    self.keyCount = keyCount
    self.headSize = headSize
    self.firstPosition = firstPosition
    self.isCausal = isCausal
    self.window = window
    self.scale = scale
    self.results = results
    self.resultStride = resultStride
  }
}

extension Kernels {
  /// results_i = Σ_j softmax_j(scale · q_i·k_j) · v_j over the keys that query i sees, on the calling thread.
  ///
  /// Results do not depend on how queries are cut into tiles of whole multiples of four.
  public static func attention(_ tile: AttentionTile) {
    precondition(tile.group > 0 && tile.keyCount >= 0 && tile.queryCount >= 0, "impossible attention shape")
    let scratch = ThreadScratch.reserve(16 * max(tile.keyCount, 1)).assumingMemoryBound(to: Float.self)
    attend(tile, scratch)
  }

  /// The same over keys and values in a stored format, which are decoded first; `tile` names none of its own. They lie one behind the
  /// other.
  ///
  /// - Parameters:
  ///   - keys: the first key.
  ///   - values: the first value.
  /// - Precondition: `format` holds weights, and `tile.headSize` fills whole blocks of it.
  public static func attention(
    _ tile: AttentionTile, keys: UnsafeRawPointer, values: UnsafeRawPointer, format: TensorFormat
  ) {
    precondition(tile.group > 0 && tile.keyCount >= 0 && tile.queryCount >= 0, "impossible attention shape")
    let count = max(tile.keyCount, 1)
    let width = count * tile.headSize
    let memory = ThreadScratch.reserve(4 * (4 * count + 2 * width)).assumingMemoryBound(to: Float.self)
    decode(keys, as: format, into: memory, count: tile.keyCount * tile.headSize)
    decode(values, as: format, into: memory + width, count: tile.keyCount * tile.headSize)
    var wide = tile
    (wide.keys, wide.values) = (UnsafePointer(memory), UnsafePointer(memory + width))
    wide.cacheStride = tile.headSize
    attend(wide, memory + 2 * width)
  }

  /// - Parameter scratch: four numbers for each key.
  private static func attend(_ tile: AttentionTile, _ scratch: UnsafeMutablePointer<Float>) {
    var call = ck_attention_tile(
      q: tile.queries, k: tile.keys, v: tile.values, out: tile.results,
      q_stride: tile.queryStride, kv_stride: tile.cacheStride, out_stride: tile.resultStride,
      queries: tile.queryCount, group: tile.group, keys: tile.keyCount, size: tile.headSize,
      first: tile.firstPosition, window: tile.window ?? 0, causal: tile.isCausal ? 1 : 0,
      scale: tile.scale, scratch: scratch, logs: tile.logs)
    ck_attention(&call)
  }
}
