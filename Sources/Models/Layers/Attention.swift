package import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

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

  /// Attention of these shapes.
  package init(heads: Int, keyValueHeads: Int, headLength: Int, isCausal: Bool) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headLength = headLength
    self.isCausal = isCausal
  }

  /// The tokens that are worked on together; fixed, so results do not depend on the number of threads.
  private static let tile = 16
  /// The same where keys and values have to be decoded for each tile.
  private static let halfTile = 128
  /// The keys of a part where a single token's attention is cut: parts fit the second cache, and long texts keep many threads busy.
  private static let part = 256

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
    /// What a token's row is stored as.
    package let format: TensorFormat

    /// A layout of these parts.
    package init(
      base: FloatBuffer, offset: Int, headStride: Int, tokenStride: Int, format: TensorFormat = .f32
    ) {
      self.base = base
      self.offset = offset
      self.headStride = headStride
      self.tokenStride = tokenStride
      self.format = format
    }

    /// The place of a head's token.
    func place(_ head: Int, _ token: Int) -> Int { offset + head * headStride + token * tokenStride }
    /// The stored bytes from a place on, where a row begins.
    func bytes(_ place: Int) -> UnsafeRawPointer {
      UnsafeRawPointer(base.base) + place / format.blockSize * format.bytesPerBlock
    }
  }

  /// Attention of `tokens` queries at positions `first`… over `count` keys.
  ///
  /// - Parameters:
  ///   - queries: `tokens` × `heads · headLength`, from element `offset · heads · headLength` on.
  ///   - window: how many keys back a query sees, itself included; nil for all.
  ///   - output: like `queries`; overwritten.
  ///   - partials: memory for parts of results, to reuse from call to call; with it a single causal token's keys are cut.
  package func apply(
    queries: FloatBuffer, offset: Int = 0, tokens: Int, first: Int, keys: Layout, values: Layout, count: Int,
    window: Int?, into output: FloatBuffer, partials: ActivationScratch? = nil
  ) {
    if tokens == 1, isCausal, let partials {
      return attend(
        queries: queries.base + offset * heads * headLength, first: first, keys: keys, values: values,
        window: window, into: output.base + offset * heads * headLength, partials: partials)
    }
    let length = keys.format == .f32 ? Self.tile : Self.halfTile
    let tiles = (tokens + length - 1) / length
    let group = heads / keyValueHeads
    let width = heads * headLength
    let keyCount = isCausal ? first + tokens : count
    // Scores and weighted sums: two products of each query with each key it sees, at most.
    Parallel.forEach(tiles * keyValueHeads, work: 2 * tokens * keyCount * width) { index in
      let (tile, head) = index.quotientAndRemainder(dividingBy: keyValueHeads)
      let start = tile * length
      let size = min(length, tokens - start)
      let place = (offset + start) * width + head * group * headLength
      attend(
        AttentionTile(
          queries: queries.base + place, queryStride: width, queryCount: size * group, group: group,
          keys: keys.base.base, values: values.base.base, cacheStride: keys.tokenStride,
          keyCount: isCausal ? first + start + size : count, headSize: headLength,
          firstPosition: first + start, isCausal: isCausal, window: window,
          scale: 1 / Float(headLength).squareRoot(), results: output.base + place, resultStride: width),
        keys, values, head: head, from: 0)
    }
  }

  /// One tile over the keys of a head from token `from` on.
  private func attend(_ tile: AttentionTile, _ keys: Layout, _ values: Layout, head: Int, from: Int) {
    guard keys.format == .f32 else {
      return Kernels.attention(
        tile, keys: keys.bytes(keys.place(head, from)), values: values.bytes(values.place(head, from)),
        format: keys.format)
    }
    var tile = tile
    tile.keys = UnsafePointer(keys.base.base + keys.place(head, from))
    tile.values = UnsafePointer(values.base.base + values.place(head, from))
    Kernels.attention(tile)
  }

  /// A single token: its keys are cut into parts, whatever the number of threads, each part gives its weighted mean of values and the
  /// logarithm of its weights' sum, and these are put together in their order (Dao et al., 2023, “Flash-Decoding”).
  private func attend(
    queries: UnsafePointer<Float>, first: Int, keys: Layout, values: Layout, window: Int?,
    into output: UnsafeMutablePointer<Float>, partials: ActivationScratch
  ) {
    let (end, group, width) = (first + 1, heads / keyValueHeads, heads * headLength)
    let from = window.map { max(0, end - $0) } ?? 0
    let parts = (end - from + Self.part - 1) / Self.part
    let isCut = parts > 1
    let memory = partials.reserve(isCut ? parts * (width + heads) * 4 : 4)
      .assumingMemoryBound(to: Float.self)
    nonisolated(unsafe) let (queries, output, results) = (queries, output, isCut ? memory : output)
    nonisolated(unsafe) let logs = memory + parts * width
    let scale = 1 / Float(headLength).squareRoot()
    Parallel.forEach(parts * keyValueHeads, work: 2 * (end - from) * width) { index in
      let (part, head) = index.quotientAndRemainder(dividingBy: keyValueHeads)
      let start = from + part * Self.part
      let seen = min(Self.part, end - start)
      let place = head * group * headLength
      var tile = AttentionTile(
        queries: queries + place, queryStride: width, queryCount: group, group: group, keys: queries,
        values: queries, cacheStride: keys.tokenStride, keyCount: seen, headSize: headLength,
        firstPosition: seen - 1, isCausal: true, scale: scale, results: results + part * width + place,
        resultStride: width)
      if isCut { tile.logs = logs + part * heads + head * group }
      attend(tile, keys, values, head: head, from: start)
    }
    guard isCut else { return }
    Parallel.forEach(heads, work: parts * width) { head in
      join(results + head * headLength, logs + head, parts: parts, into: output + head * headLength)
    }
  }

  /// The parts' results, `heads · headLength` apart, weighted by their sums.
  private func join(
    _ results: UnsafePointer<Float>, _ logs: UnsafePointer<Float>, parts: Int,
    into output: UnsafeMutablePointer<Float>
  ) {
    var most = -Float.infinity
    for part in 0..<parts { most = max(most, logs[part * heads]) }
    // All −∞: no key has a weight. What is no number must stay seen.
    let shift = most == -.infinity ? 0 : most
    var sum: Float = 0
    for part in 0..<parts { sum += exp(logs[part * heads] - shift) }
    output.update(repeating: 0, count: headLength)
    for part in 0..<parts {
      let weight = sum == 0 ? 0 : exp(logs[part * heads] - shift) / sum
      Kernels.addScaled(weight, results + part * heads * headLength, to: output, count: headLength)
    }
  }
}
