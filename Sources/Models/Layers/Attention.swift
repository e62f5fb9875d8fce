import TensorCore

/// Scaled dot-product attention of a row of tokens over keys and values that are stored head by head or token by token.
package struct Attention: Sendable {
  /// The number of query heads.
  package let heads: Int
  /// The number of key and value heads; each serves `heads / keyValueHeads` query heads.
  package let keyValueHeads: Int
  /// The length of a head.
  package let headLength: Int
  /// Whether a token sees only itself and those before it.
  package let isCausal: Bool

  /// The tokens that are worked on together; fixed, so results do not depend on the number of threads.
  private static let tile = 16

  /// Where the keys (or values) of a head lie.
  package struct Layout: Sendable {
    /// The first element.
    package let base: FloatBuffer
    /// Elements before the first head's first token.
    package let offset: Int
    /// Elements from one head to the next.
    package let headStride: Int
    /// Elements from one token to the next.
    package let tokenStride: Int
  }

  /// Attention of `tokens` queries at positions `first`… over `count` keys.
  ///
  /// - Parameters:
  ///   - queries: `tokens` × `heads · headLength`, from element `offset · heads · headLength` on.
  ///   - window: how many keys back a query sees, itself included; nil for all.
  ///   - output: like `queries`; overwritten.
  package func apply(
    queries: FloatBuffer, offset: Int = 0, tokens: Int, first: Int, keys: Layout, values: Layout, count: Int,
    window: Int?, into output: FloatBuffer
  ) {
    let tiles = (tokens + Self.tile - 1) / Self.tile
    let group = heads / keyValueHeads
    let width = heads * headLength
    let keyCount = isCausal ? first + tokens : count
    // Scores and weighted sums: two products of each query with each key it sees, at most.
    Parallel.forEach(tiles * keyValueHeads, work: 2 * tokens * keyCount * width) { index in
      let (tile, head) = index.quotientAndRemainder(dividingBy: keyValueHeads)
      let start = tile * Self.tile
      let size = min(Self.tile, tokens - start)
      let place = (offset + start) * width + head * group * headLength
      Kernels.attention(
        AttentionTile(
          queries: queries.base + place, queryStride: width, queryCount: size * group, group: group,
          keys: keys.base.base + keys.offset + head * keys.headStride,
          values: values.base.base + values.offset + head * values.headStride, cacheStride: keys.tokenStride,
          keyCount: isCausal ? first + start + size : count, headSize: headLength,
          firstPosition: first + start, isCausal: isCausal, window: window,
          scale: 1 / Float(headLength).squareRoot(), results: output.base + place, resultStride: width))
    }
  }
}
