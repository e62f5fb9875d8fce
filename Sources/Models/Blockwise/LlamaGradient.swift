import TensorCore

extension BlockwiseLlama: GradientModel {
  package func goBackThroughOutputNorm(
    tensors: TensorLookup, hidden: UnsafePointer<Float>, tokens: Int, gradient: UnsafeMutablePointer<Float>
  ) throws {
    let norm = try tensors.vector("model.norm.weight")
    BackwardKernels.rmsNorm(
      hidden, weight: norm.values, epsilon: configuration.normEpsilon, rows: tokens, gradient: gradient)
  }

  package func goBack(
    throughBlock index: Int, tensors: TensorLookup, hidden: UnsafePointer<Float>, tokens: Int,
    gradient: UnsafeMutablePointer<Float>, see: (_ name: String, _ gradient: UnsafePointer<Float>) -> Void
  ) throws {
    let block = try LlamaModel.Block(tensors, index: index, window: configuration.windows[index])
    let names = steps(ofBlock: index).flatMap(\.layers)
    let pass = LlamaBlockGradient(runner: LlamaBlockRunner(configuration), block: block, tokens: tokens)
    pass.goBack(hidden: hidden, gradient: gradient) { see(names[$0], $1) }
  }
}

/// One block of a llama family model and one sequence, run forwards and then backwards in single precision, or with products of
/// bfloat16 numbers where its matrices are multiplied so.
private struct LlamaBlockGradient {
  let runner: LlamaBlockRunner
  let block: LlamaModel.Block
  let tokens: Int

  private var configuration: LlamaConfiguration { runner.configuration }
  private var width: Int { configuration.hiddenSize }
  private var inner: Int { configuration.intermediateSize }

  func goBack(
    hidden: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>,
    see: (_ layer: Int, _ gradient: UnsafePointer<Float>) -> Void
  ) {
    let attention = attentionForward(hidden)
    // The feed-forward part first: it comes last.
    let middle = FloatBuffer(count: tokens * width)
    middle.base.update(from: hidden, count: tokens * width)
    let update = FloatBuffer(count: tokens * width)
    runner.finish(
      block.attentionOutput, attention.attended.base, tokens: tokens, hidden: middle.base, update: update)
    goBackThroughFeedForward(middle, gradient: gradient, see: see)
    goBackThroughAttention(attention, hidden: hidden, gradient: gradient, see: see)
  }

  // MARK: Feed-forward

  private func goBackThroughFeedForward(
    _ hidden: FloatBuffer, gradient: UnsafeMutablePointer<Float>, see: (Int, UnsafePointer<Float>) -> Void
  ) {
    let normed = FloatBuffer(count: tokens * width)
    runner.normalize(hidden.base, block.feedForwardNorm, tokens: tokens, into: normed.base)
    let (gate, up) = (FloatBuffer(count: tokens * inner), FloatBuffer(count: tokens * inner))
    block.gate.apply(normed.base, tokens: tokens, into: gate.base)
    block.up.apply(normed.base, tokens: tokens, into: up.base)
    see(6, gradient)
    let product = FloatBuffer(count: tokens * inner)
    block.down.weight.multiplyBack(gradient, tokens: tokens, into: product.base)
    BackwardKernels.siluMultiply(gate: gate.base, up: up.base, gradient: product.base, count: tokens * inner)
    see(4, gate.base)
    see(5, up.base)
    let input = FloatBuffer(count: tokens * width)
    block.gate.weight.multiplyBack(gate.base, tokens: tokens, into: input.base)
    block.up.weight.multiplyBack(up.base, tokens: tokens, into: input.base, adding: true)
    BackwardKernels.rmsNorm(
      hidden.base, weight: block.feedForwardNorm.values, epsilon: configuration.normEpsilon, rows: tokens,
      gradient: input.base)
    Kernels.add(input.base, to: gradient, count: tokens * width)
  }

  // MARK: Attention

  /// What attention made on the way forwards.
  private struct AttentionState {
    /// Before head norms and rotation.
    let rawQueries, rawKeys: FloatBuffer
    /// After them.
    let queries, keys: FloatBuffer
    let values, attended: FloatBuffer
    let rotary: RotaryTable
  }

  private func attentionForward(_ hidden: UnsafePointer<Float>) -> AttentionState {
    let (wide, narrow) = (configuration.queryWidth, configuration.keyValueWidth)
    let work = LlamaBlockRunner.Workspace(configuration, tokens: tokens)
    let cache = KVCache(
      capacity: tokens, blocks: 1, heads: configuration.keyValueHeadCount,
      headLength: configuration.headLength)
    cache.reserve(tokens)
    let rotary = runner.rotary(first: 0, tokens: tokens)
    runner.normalize(hidden, block.attentionNorm, tokens: tokens, into: work.normed.base)
    let (rawQueries, rawKeys) = (FloatBuffer(count: tokens * wide), FloatBuffer(count: tokens * narrow))
    block.query.apply(work.normed.base, tokens: tokens, into: rawQueries.base)
    block.key.apply(work.normed.base, tokens: tokens, into: rawKeys.base)
    // Leaves queries and keys as they meet, after norms and rotation, in the workspace.
    runner.attend(block, index: 0, tokens: tokens, rotary: rotary, cache: cache, work: work)
    return AttentionState(
      rawQueries: rawQueries, rawKeys: rawKeys, queries: work.queries, keys: work.keys, values: work.values,
      attended: work.attended, rotary: rotary)
  }

  private func goBackThroughAttention(
    _ state: AttentionState, hidden: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>,
    see: (Int, UnsafePointer<Float>) -> Void
  ) {
    let (wide, narrow) = (configuration.queryWidth, configuration.keyValueWidth)
    see(3, gradient)
    let attended = FloatBuffer(count: tokens * wide)
    block.attentionOutput.weight.multiplyBack(gradient, tokens: tokens, into: attended.base)
    let queries = FloatBuffer(count: tokens * wide)
    let (keys, values) = (FloatBuffer(count: tokens * narrow), FloatBuffer(count: tokens * narrow))
    // A key head serves a group of query heads, so its gradients are made in one piece.
    Parallel.forEach(configuration.keyValueHeadCount) { head in
      AttentionGradient(
        length: configuration.headLength, tokens: tokens,
        group: configuration.headCount / configuration.keyValueHeadCount,
        queryWidth: wide, keyWidth: narrow, window: block.window
      ).goBack(
        head: head, queries: state.queries.base, keys: state.keys.base, values: state.values.base,
        output: attended.base, into: (queries.base, keys.base, values.base))
    }
    unrotate(queries.base, state.rawQueries, block.queryNorm, heads: configuration.headCount, state.rotary)
    unrotate(keys.base, state.rawKeys, block.keyNorm, heads: configuration.keyValueHeadCount, state.rotary)
    for (layer, part) in [queries, keys, values].enumerated() { see(layer, part.base) }
    let input = FloatBuffer(count: tokens * width)
    block.query.weight.multiplyBack(queries.base, tokens: tokens, into: input.base)
    block.key.weight.multiplyBack(keys.base, tokens: tokens, into: input.base, adding: true)
    block.value.weight.multiplyBack(values.base, tokens: tokens, into: input.base, adding: true)
    BackwardKernels.rmsNorm(
      hidden, weight: block.attentionNorm.values, epsilon: configuration.normEpsilon, rows: tokens,
      gradient: input.base)
    Kernels.add(input.base, to: gradient, count: tokens * width)
  }

  /// Back through the rotation and, where there is one, each head's norm.
  private func unrotate(
    _ gradient: UnsafeMutablePointer<Float>, _ raw: FloatBuffer, _ norm: FloatVector?, heads: Int,
    _ rotary: RotaryTable
  ) {
    let length = configuration.headLength
    nonisolated(unsafe) let gradient = gradient
    Parallel.forEach(tokens) { rotary.rotateBack(gradient + $0 * heads * length, token: $0, heads: heads) }
    guard let norm else { return }
    BackwardKernels.rmsNorm(
      raw.base, weight: norm.values, epsilon: configuration.normEpsilon, rows: tokens * heads,
      gradient: gradient)
  }
}

extension WeightMatrix {
  /// x[t, c] = Σ_r y[t, r] · w[r, c]: from a layer's outputs to its inputs.
  ///
  /// - Parameters:
  ///   - y: `tokens` × `rows`.
  ///   - x: `tokens` × `columns`, overwritten or added to.
  fileprivate func multiplyBack(
    _ y: UnsafePointer<Float>, tokens: Int, into x: UnsafeMutablePointer<Float>, adding: Bool = false
  ) {
    let weights = FloatBuffer(count: rows * columns, isZeroed: false)
    Parallel.forEach(rows, work: rows * columns) { decodeRow($0, into: weights.base + $0 * columns) }
    guard roundsActivations else {
      return LinearAlgebra.multiply(
        y, weights.base, transposed: false, rows: tokens, inner: rows, columns: columns, into: x,
        adding: adding)
    }
    if !adding { x.update(repeating: 0, count: tokens * columns) }
    StridedProduct(
      (y, rows, 1), (UnsafePointer(weights.base), columns, 1), rows: tokens, inner: rows, columns: columns
    ).addRounded(to: x, row: columns)
  }
}
