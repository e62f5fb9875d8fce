import TensorCore

/// What the blocks of a llama family model do to activations; holds no weights.
struct LlamaBlockRunner: Sendable {
  let configuration: LlamaConfiguration
  let frequencies: [Float]
  let attention: Attention

  init(_ configuration: LlamaConfiguration) {
    self.configuration = configuration
    frequencies = configuration.rotary.frequencies
    attention = Attention(
      heads: configuration.headCount, keyValueHeads: configuration.keyValueHeadCount,
      headLength: configuration.headLength, isCausal: true)
  }

  /// The rotations of `tokens` positions from `first` on.
  func rotary(first: Int, tokens: Int) -> RotaryTable {
    RotaryTable(configuration.rotary, frequencies: frequencies, first: first, tokens: tokens)
  }

  /// The rotations of tokens at positions of their own, in the workspace's memory, where they stay until its next pass.
  func rotary(
    tokens: Int, in work: Workspace, position: @Sendable (_ token: Int) -> Int
  ) -> RotaryTable {
    RotaryTable(
      configuration.rotary, frequencies: frequencies, tokens: tokens, cosines: work.cosines,
      sines: work.sines,
      position: position)
  }

  /// normed = RMS norm of `tokens` rows of `hidden`.
  func normalize(
    _ hidden: UnsafePointer<Float>, _ norm: FloatVector, tokens: Int, into normed: UnsafeMutablePointer<Float>
  ) {
    let width = configuration.hiddenSize
    nonisolated(unsafe) let (hidden, normed) = (hidden, normed)
    Parallel.forEach(tokens) { token in
      Kernels.rmsNorm(
        hidden + token * width, weight: norm.values, epsilon: configuration.normEpsilon,
        into: normed + token * width, count: width)
    }
  }

  /// work.attended = attention(Wq x, Wk x, Wv x), where x is the normed input.
  func attend(
    _ block: LlamaModel.Block, index: Int, tokens: Int, rotary: RotaryTable, cache: KVCache, work: Workspace
  ) {
    project(block, tokens: tokens, work: work)
    let first = cache.count
    Parallel.forEach(tokens) { token in
      store(
        block, index: index, token: token, rotary: rotary, cache: cache, position: first + token, work: work)
    }
    attention.apply(
      queries: work.queries, tokens: tokens, first: first, keys: cache.layout(cache.keys, block: index),
      values: cache.layout(cache.values, block: index), count: first + tokens, window: block.window,
      into: work.attended, partials: work.partials)
  }

  /// The same for the next token of each of several sequences.
  func attend(
    _ block: LlamaModel.Block, index: Int, rotary: RotaryTable, caches: [KVCache], work: Workspace
  ) {
    project(block, tokens: caches.count, work: work)
    // A sequence a thread: loops within run on it alone.
    Parallel.forEach(caches.count) { token in
      let cache = caches[token]
      let first = cache.count
      store(block, index: index, token: token, rotary: rotary, cache: cache, position: first, work: work)
      attention.apply(
        queries: work.queries, offset: token, tokens: 1, first: first,
        keys: cache.layout(cache.keys, block: index), values: cache.layout(cache.values, block: index),
        count: first + 1, window: block.window, into: work.attended)
    }
  }

  /// Queries, keys and values of the normed input.
  private func project(_ block: LlamaModel.Block, tokens: Int, work: Workspace) {
    block.attentionInputs.multiply(
      work.normed.base, tokens: tokens, into: .init(work.queries.base, work.keys.base, work.values.base),
      scratch: work.scratch)
    block.query.addBias(to: work.queries.base, tokens: tokens)
    block.key.addBias(to: work.keys.base, tokens: tokens)
    block.value.addBias(to: work.values.base, tokens: tokens)
  }

  /// Turns a token's query and key, and keeps its key and value at a position.
  private func store(
    _ block: LlamaModel.Block, index: Int, token: Int, rotary: RotaryTable, cache: KVCache, position: Int,
    work: Workspace
  ) {
    let query = work.queries.base + token * configuration.queryWidth
    let key = work.keys.base + token * configuration.keyValueWidth
    normalizeHeads(query, block.queryNorm, heads: configuration.headCount)
    normalizeHeads(key, block.keyNorm, heads: configuration.keyValueHeadCount)
    rotary.rotate(query, token: token, heads: configuration.headCount)
    rotary.rotate(key, token: token, heads: configuration.keyValueHeadCount)
    cache.store(key, in: cache.keys, block: index, position: position)
    cache.store(
      work.values.base + token * configuration.keyValueWidth, in: cache.values, block: index,
      position: position)
  }

  /// Qwen3 normalises each head of queries and keys.
  private func normalizeHeads(_ x: UnsafeMutablePointer<Float>, _ norm: FloatVector?, heads: Int) {
    guard let norm else { return }
    for head in 0..<heads {
      let row = x + head * configuration.headLength
      Kernels.rmsNorm(
        row, weight: norm.values, epsilon: configuration.normEpsilon, into: row,
        count: configuration.headLength)
    }
  }

  /// work.gate = silu(Wgate x) · Wup x, where x is the normed input.
  func feedForward(_ block: LlamaModel.Block, tokens: Int, work: Workspace) {
    block.feedForwardInputs.multiply(
      work.normed.base, tokens: tokens, into: .init(work.gate.base, work.up.base), scratch: work.scratch)
    block.gate.addBias(to: work.gate.base, tokens: tokens)
    block.up.addBias(to: work.up.base, tokens: tokens)
    let inner = configuration.intermediateSize
    Parallel.forEach(tokens) { token in
      Kernels.siluMultiply(work.gate.base + token * inner, up: work.up.base + token * inner, count: inner)
    }
  }

  /// hidden += W x, where W is the last layer of attention or feed-forward.
  func finish(
    _ layer: Linear, _ x: UnsafePointer<Float>, tokens: Int, hidden: UnsafeMutablePointer<Float>,
    update: FloatBuffer, scratch: ActivationScratch? = nil
  ) {
    layer.apply(x, tokens: tokens, into: update.base, scratch: scratch)
    let width = configuration.hiddenSize
    nonisolated(unsafe) let hidden = hidden
    Parallel.forEach(tokens) { token in
      Kernels.add(update.base + token * width, to: hidden + token * width, count: width)
    }
  }

  /// Activations of one chunk.
  final class Workspace: Sendable {
    let hidden, normed, update: FloatBuffer
    let queries, keys, values, attended: FloatBuffer
    let gate, up: FloatBuffer
    /// Cosines and sines of the pass's positions.
    let cosines, sines: FloatBuffer
    let scratch = ActivationScratch()
    /// Parts of a single token's attention.
    let partials = ActivationScratch()
    /// The most tokens of a chunk.
    let tokens: Int

    init(_ configuration: LlamaConfiguration, tokens: Int) {
      let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
      self.tokens = tokens
      hidden = FloatBuffer(count: tokens * width, isZeroed: false)
      normed = FloatBuffer(count: tokens * width, isZeroed: false)
      update = FloatBuffer(count: tokens * width, isZeroed: false)
      queries = FloatBuffer(count: tokens * configuration.queryWidth, isZeroed: false)
      attended = FloatBuffer(count: tokens * configuration.queryWidth, isZeroed: false)
      keys = FloatBuffer(count: tokens * configuration.keyValueWidth, isZeroed: false)
      values = FloatBuffer(count: tokens * configuration.keyValueWidth, isZeroed: false)
      let half = configuration.rotary.frequencies.count
      cosines = FloatBuffer(count: tokens * half, isZeroed: false)
      sines = FloatBuffer(count: tokens * half, isZeroed: false)
      gate = FloatBuffer(count: tokens * inner, isZeroed: false)
      up = FloatBuffer(count: tokens * inner, isZeroed: false)
    }
  }
}
