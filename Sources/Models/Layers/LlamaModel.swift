package import TensorCore

/// A llama family model that runs its weights in their stored formats.
package struct LlamaModel: LanguageModel {
  /// A block's layers.
  struct Block: Sendable {
    let attentionNorm, feedForwardNorm: FloatVector
    let queryNorm, keyNorm: FloatVector?
    let query, key, value, attentionOutput: Linear
    let gate, up, down: Linear
    /// Query, key and value; gate and up: matrices with the same input.
    let attentionInputs, feedForwardInputs: MatrixGroup
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
      attentionInputs = MatrixGroup([query.weight, key.weight, value.weight])
      feedForwardInputs = MatrixGroup([gate.weight, up.weight])
      self.window = window
    }

    /// `other` with the zeros of its matrices stored.
    init(wholeRowsOf other: Block) {
      (attentionNorm, feedForwardNorm) = (other.attentionNorm, other.feedForwardNorm)
      (queryNorm, keyNorm, window) = (other.queryNorm, other.keyNorm, other.window)
      (query, key, value) = (
        other.query.withWholeRows, other.key.withWholeRows, other.value.withWholeRows
      )
      attentionOutput = other.attentionOutput.withWholeRows
      (gate, up, down) = (other.gate.withWholeRows, other.up.withWholeRows, other.down.withWholeRows)
      attentionInputs = MatrixGroup([query.weight, key.weight, value.weight])
      feedForwardInputs = MatrixGroup([gate.weight, up.weight])
    }

    /// Whether a matrix is kept without its zeros.
    var leavesZerosOut: Bool {
      [query, key, value, attentionOutput, gate, up, down].contains { $0.weight.leavesZerosOut }
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
  /// The most tokens whose activations are kept between passes.
  private static let keptTokens = 4

  let configuration: LlamaConfiguration
  let embedding: TokenEmbedding
  let blocks: [Block]
  let norm: FloatVector
  let output: WeightMatrix
  let runner: LlamaBlockRunner

  package var vocabularySize: Int { output.rows }
  package var contextLength: Int { configuration.contextLength }

  /// Takes the tensors of `checkpoint`; mapped weights stay mapped.
  package init(_ configuration: LlamaConfiguration, checkpoint: Checkpoint) throws {
    let tensors = TensorLookup(checkpoint)
    self.configuration = configuration
    norm = try tensors.vector("model.norm.weight")
    let name = "model.embed_tokens.weight"
    if !checkpoint.isTied, checkpoint.loadsEmbeddingLate,
      let late = TokenEmbedding(late: try tensors.tensor(name))
    {
      embedding = late
      output = try tensors.matrix("lm_head.weight")
    } else {
      let matrix = try tensors.matrix(name)
      embedding = TokenEmbedding(matrix)
      output = checkpoint.isTied ? matrix : try tensors.matrix("lm_head.weight")
    }
    let loaded = try tensors.loadingMatrices({ $0.hasPrefix("model.layers.") }, of: checkpoint)
    blocks = try configuration.windows.enumerated().map { try Block(loaded, index: $0, window: $1) }
    runner = LlamaBlockRunner(configuration)
  }

  private init(wholeRowsOf other: LlamaModel) {
    (configuration, norm, runner) = (other.configuration, other.norm, other.runner)
    (embedding, output) = (other.embedding.withWholeRows, other.output.withWholeRows)
    blocks = other.blocks.map(Block.init(wholeRowsOf:))
  }

  package func withWholeRows() -> (any LanguageModel)? {
    guard output.leavesZerosOut || blocks.contains(where: \.leavesZerosOut) else { return nil }
    return LlamaModel(wholeRowsOf: self)
  }

  package var bytesPerToken: Int {
    blocks.reduce(embedding.rowBytes + output.byteCount + norm.values.count * 4) { $0 + $1.byteCount }
  }

  package var failure: (any Error)? { embedding.failure }

  package func makeCache(capacity: Int) -> KVCache { makeCache(capacity: capacity, precision: .f32) }

  package func makeCache(capacity: Int, precision: KVPrecision) -> KVCache {
    KVCache(
      capacity: capacity, blocks: blocks.count, heads: configuration.keyValueHeadCount,
      headLength: configuration.headLength, precision: precision)
  }

  package func next(_ token: Int, cache: KVCache, into logits: UnsafeMutablePointer<Float>) {
    precondition(token >= 0 && token < embedding.rows, "a token outside of the vocabulary")
    cache.reserve(cache.count + 1)
    let work = workspace(tokens: 1, of: cache)
    withUnsafePointer(to: token) { token in
      run(UnsafeBufferPointer(start: token, count: 1), cache: cache, work: work)
    }
    project(0..<1, work: work, into: logits)
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
    let work = workspace(tokens: min(tokens.count, Self.chunkLength), of: cache)
    let elements = [Float](unsafeUninitializedCapacity: rows * vocabularySize) { target, count in
      for start in stride(from: 0, to: tokens.count, by: Self.chunkLength) {
        let chunk = tokens[start..<min(start + Self.chunkLength, tokens.count)]
        chunk.withUnsafeBufferPointer { run($0, cache: cache, work: work) }
        let first = max(firstWanted, chunk.startIndex)
        guard first < chunk.endIndex, let base = target.baseAddress else { continue }
        project(first - start..<chunk.count, work: work, into: base + (first - firstWanted) * vocabularySize)
      }
      count = rows * vocabularySize
    }
    return Matrix(rows: rows, columns: vocabularySize, elements: elements)
  }

  /// Activations for `tokens` tokens. Those of few tokens stay with the sequence, so that decoding reuses them, others where `isKept`.
  private func workspace(
    tokens: Int, of cache: KVCache, isKept: Bool = false
  ) -> LlamaBlockRunner.Workspace {
    if let kept = cache.workspace as? LlamaBlockRunner.Workspace, kept.tokens >= tokens { return kept }
    let fresh = LlamaBlockRunner.Workspace(configuration, tokens: tokens)
    if isKept || tokens <= Self.keptTokens { cache.workspace = fresh }
    return fresh
  }

  /// The logits of some positions of the chunk in `work`.
  private func project(
    _ range: Range<Int>, work: LlamaBlockRunner.Workspace, into target: UnsafeMutablePointer<Float>
  ) {
    let width = configuration.hiddenSize
    Parallel.forEach(range.count) { place in
      Kernels.rmsNorm(
        work.hidden.base + (range.lowerBound + place) * width, weight: norm.values,
        epsilon: configuration.normEpsilon, into: work.normed.base + place * width, count: width)
    }
    output.multiply(work.normed.base, tokens: range.count, into: target, scratch: work.scratch)
  }
}

extension LlamaModel {
  /// Runs a chunk through all blocks; leaves the last block's output in `work.hidden`.
  private func run(_ tokens: UnsafeBufferPointer<Int>, cache: KVCache, work: LlamaBlockRunner.Workspace) {
    let (count, first) = (tokens.count, cache.count)
    let rotary = runner.rotary(tokens: count, in: work) { first + $0 }
    run(tokens, work: work) { block, index in
      runner.attend(block, index: index, tokens: count, rotary: rotary, cache: cache, work: work)
    }
    cache.count += count
  }

  /// The same with attention that the caller has.
  private func run(
    _ tokens: UnsafeBufferPointer<Int>, work: LlamaBlockRunner.Workspace, attend: (Block, Int) -> Void
  ) {
    let (count, width) = (tokens.count, configuration.hiddenSize)
    embedding.decode(tokens, width: width, into: work.hidden.base)
    for (index, block) in blocks.enumerated() {
      runner.normalize(work.hidden.base, block.attentionNorm, tokens: count, into: work.normed.base)
      attend(block, index)
      runner.finish(
        block.attentionOutput, work.attended.base, tokens: count, hidden: work.hidden.base,
        update: work.update, scratch: work.scratch)
      runner.normalize(work.hidden.base, block.feedForwardNorm, tokens: count, into: work.normed.base)
      runner.feedForward(block, tokens: count, work: work)
      runner.finish(
        block.down, work.gate.base, tokens: count, hidden: work.hidden.base, update: work.update,
        scratch: work.scratch)
    }
  }

  package func next(_ tokens: [Int], caches: [KVCache], into logits: UnsafeMutablePointer<Float>) {
    precondition(tokens.count == caches.count, "a token for each sequence")
    precondition(tokens.allSatisfy { $0 >= 0 && $0 < embedding.rows }, "a token outside of the vocabulary")
    guard let cache = caches.first else { return }
    for cache in caches { cache.reserve(cache.count + 1) }
    let work = workspace(tokens: tokens.count, of: cache, isKept: true)
    let rotary = runner.rotary(tokens: tokens.count, in: work) { caches[$0].count }
    tokens.withUnsafeBufferPointer { tokens in
      run(tokens, work: work) { block, index in
        runner.attend(block, index: index, rotary: rotary, caches: caches, work: work)
      }
    }
    for cache in caches { cache.count += 1 }
    project(0..<tokens.count, work: work, into: logits)
  }
}
