package import TensorCore

/// A llama family model that runs its weights in their stored formats.
package struct LlamaModel: LanguageModel {
  /// A block's layers.
  struct Block: Sendable {
    let attentionNorm, feedForwardNorm: FloatVector
    let queryNorm, keyNorm: FloatVector?
    let query, key, value, attentionOutput: Linear
    let gate, up, down: Linear
    let window: Int?

    init(_ tensors: TensorLookup, index: Int, window: Int?) throws {
      let name = "model.layers.\(index)."
      attentionNorm = try tensors.vector(name + "input_layernorm.weight")
      feedForwardNorm = try tensors.vector(name + "post_attention_layernorm.weight")
      queryNorm = try tensors.vectorIfPresent(name + "self_attn.q_norm.weight")
      keyNorm = try tensors.vectorIfPresent(name + "self_attn.k_norm.weight")
      query = try Linear(tensors, name + "self_attn.q_proj")
      key = try Linear(tensors, name + "self_attn.k_proj")
      value = try Linear(tensors, name + "self_attn.v_proj")
      attentionOutput = try Linear(tensors, name + "self_attn.o_proj")
      gate = try Linear(tensors, name + "mlp.gate_proj")
      up = try Linear(tensors, name + "mlp.up_proj")
      down = try Linear(tensors, name + "mlp.down_proj")
      self.window = window
    }

    /// The bytes that one pass through the block reads.
    var byteCount: Int {
      let matrices = [query, key, value, attentionOutput, gate, up, down].reduce(0) { $0 + $1.byteCount }
      let norms = [attentionNorm, feedForwardNorm, queryNorm, keyNorm].reduce(0) {
        $0 + ($1?.values.count ?? 0) * 4
      }
      return matrices + norms
    }
  }

  /// The tokens that run together; bounds the memory of activations.
  package static let chunkLength = 512

  let configuration: LlamaConfiguration
  let embedding: WeightMatrix
  let blocks: [Block]
  let norm: FloatVector
  let output: WeightMatrix
  let frequencies: [Float]
  let attention: Attention

  package var vocabularySize: Int { output.rows }
  package var contextLength: Int { configuration.contextLength }

  /// Takes the tensors of `checkpoint`; mapped weights stay mapped.
  package init(_ configuration: LlamaConfiguration, checkpoint: Checkpoint) throws {
    let tensors = TensorLookup(checkpoint)
    self.configuration = configuration
    embedding = try tensors.matrix("model.embed_tokens.weight")
    norm = try tensors.vector("model.norm.weight")
    output = checkpoint.isTied ? embedding : try tensors.matrix("lm_head.weight")
    blocks = try configuration.windows.enumerated().map { try Block(tensors, index: $0, window: $1) }
    frequencies = configuration.rotary.frequencies
    attention = Attention(
      heads: configuration.headCount, keyValueHeads: configuration.keyValueHeadCount,
      headLength: configuration.headLength, isCausal: true)
  }

  package var bytesPerToken: Int {
    let row = embedding.rows > 0 ? embedding.byteCount / embedding.rows : 0
    return blocks.reduce(row + output.byteCount + norm.values.count * 4) { $0 + $1.byteCount }
  }

  package func makeCache(capacity: Int) -> KVCache {
    KVCache(
      capacity: capacity, blocks: blocks.count, heads: configuration.keyValueHeadCount,
      headLength: configuration.headLength)
  }

  package func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix {
    cache.reserve(cache.count + tokens.count)
    precondition(tokens.allSatisfy { $0 >= 0 && $0 < embedding.rows }, "a token outside of the vocabulary")
    let firstWanted =
      switch logits {
      case .none: tokens.count
      case .last: max(tokens.count - 1, 0)
      case .from(let start): min(max(start, 0), tokens.count)
      }
    let rows = tokens.count - firstWanted
    guard !tokens.isEmpty else { return Matrix(rows: 0, columns: vocabularySize) }
    let work = Workspace(configuration, tokens: min(tokens.count, Self.chunkLength))
    let elements = [Float](unsafeUninitializedCapacity: rows * vocabularySize) { target, count in
      for start in stride(from: 0, to: tokens.count, by: Self.chunkLength) {
        let chunk = tokens[start..<min(start + Self.chunkLength, tokens.count)]
        run(chunk, cache: cache, work: work)
        let first = max(firstWanted, chunk.startIndex)
        guard first < chunk.endIndex, let base = target.baseAddress else { continue }
        project(first - start..<chunk.count, work: work, into: base + (first - firstWanted) * vocabularySize)
      }
      count = rows * vocabularySize
    }
    return Matrix(rows: rows, columns: vocabularySize, elements: elements)
  }

  /// The logits of some positions of the chunk in `work`.
  private func project(_ range: Range<Int>, work: Workspace, into target: UnsafeMutablePointer<Float>) {
    let width = configuration.hiddenSize
    Parallel.forEach(range.count) { place in
      Kernels.rmsNorm(
        work.hidden.base + (range.lowerBound + place) * width, weight: norm.values,
        epsilon: configuration.normEpsilon, into: work.normed.base + place * width, count: width)
    }
    output.multiply(work.normed.base, tokens: range.count, into: target)
  }

  /// Activations of one chunk.
  final class Workspace: Sendable {
    let hidden, normed, update: FloatBuffer
    let queries, keys, values, attended: FloatBuffer
    let gate, up: FloatBuffer

    init(_ configuration: LlamaConfiguration, tokens: Int) {
      let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
      hidden = FloatBuffer(count: tokens * width)
      normed = FloatBuffer(count: tokens * width)
      update = FloatBuffer(count: tokens * width)
      queries = FloatBuffer(count: tokens * configuration.queryWidth)
      attended = FloatBuffer(count: tokens * configuration.queryWidth)
      keys = FloatBuffer(count: tokens * configuration.keyValueWidth)
      values = FloatBuffer(count: tokens * configuration.keyValueWidth)
      gate = FloatBuffer(count: tokens * inner)
      up = FloatBuffer(count: tokens * inner)
    }
  }
}

extension LlamaModel {
  /// Runs a chunk through all blocks; leaves the last block's output in `work.hidden`.
  private func run(_ tokens: ArraySlice<Int>, cache: KVCache, work: Workspace) {
    let (count, first, width) = (tokens.count, cache.count, configuration.hiddenSize)
    let rotary = RotaryTable(configuration.rotary, frequencies: frequencies, first: first, tokens: count)
    Parallel.forEach(count) { place in
      embedding.decodeRow(tokens[tokens.startIndex + place], into: work.hidden.base + place * width)
    }
    for (index, block) in blocks.enumerated() {
      normalize(work, block.attentionNorm, tokens: count)
      attend(block, index: index, tokens: count, rotary: rotary, cache: cache, work: work)
      normalize(work, block.feedForwardNorm, tokens: count)
      feedForward(block, tokens: count, work: work)
    }
    cache.count += count
  }

  private func normalize(_ work: Workspace, _ norm: FloatVector, tokens: Int) {
    let width = configuration.hiddenSize
    Parallel.forEach(tokens) { token in
      Kernels.rmsNorm(
        work.hidden.base + token * width, weight: norm.values, epsilon: configuration.normEpsilon,
        into: work.normed.base + token * width, count: width)
    }
  }

  /// hidden += Wo · attention(Wq x, Wk x, Wv x), where x is the normed input.
  private func attend(
    _ block: Block, index: Int, tokens: Int, rotary: RotaryTable, cache: KVCache, work: Workspace
  ) {
    block.query.apply(work.normed, tokens: tokens, into: work.queries)
    block.key.apply(work.normed, tokens: tokens, into: work.keys)
    block.value.apply(work.normed, tokens: tokens, into: work.values)
    let first = cache.count
    Parallel.forEach(tokens) { token in
      let query = work.queries.base + token * configuration.queryWidth
      let key = work.keys.base + token * configuration.keyValueWidth
      normalizeHeads(query, block.queryNorm, heads: configuration.headCount)
      normalizeHeads(key, block.keyNorm, heads: configuration.keyValueHeadCount)
      rotary.rotate(query, token: token, heads: configuration.headCount)
      rotary.rotate(key, token: token, heads: configuration.keyValueHeadCount)
      cache.store(key, in: cache.keys, block: index, position: first + token)
      cache.store(
        work.values.base + token * configuration.keyValueWidth, in: cache.values, block: index,
        position: first + token)
    }
    attention.apply(
      queries: work.queries, tokens: tokens, first: first, keys: cache.layout(cache.keys, block: index),
      values: cache.layout(cache.values, block: index), count: first + tokens, window: block.window,
      into: work.attended)
    block.attentionOutput.apply(work.attended, tokens: tokens, into: work.update)
    addUpdate(work, tokens: tokens)
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

  /// hidden += Wdown · (silu(Wgate x) · Wup x), where x is the normed input.
  private func feedForward(_ block: Block, tokens: Int, work: Workspace) {
    block.gate.apply(work.normed, tokens: tokens, into: work.gate)
    block.up.apply(work.normed, tokens: tokens, into: work.up)
    let inner = configuration.intermediateSize
    Parallel.forEach(tokens) { token in
      Kernels.siluMultiply(work.gate.base + token * inner, up: work.up.base + token * inner, count: inner)
    }
    block.down.apply(work.gate, tokens: tokens, into: work.update)
    addUpdate(work, tokens: tokens)
  }

  private func addUpdate(_ work: Workspace, tokens: Int) {
    let width = configuration.hiddenSize
    Parallel.forEach(tokens) { token in
      Kernels.add(work.update.base + token * width, to: work.hidden.base + token * width, count: width)
    }
  }
}
