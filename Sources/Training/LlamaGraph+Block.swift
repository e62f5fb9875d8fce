import TensorCore

/// One block's pass: what its way back needs.
package struct BlockPass<Number: TrainingNumber> {
  let pass: LlamaGraph<Number>.Pass
  let input: NumberBuffer<Number>
  let made: LlamaGraph<Number>.Activations
  /// The states behind the block.
  package let output: NumberBuffer<Number>
}

extension LlamaGraph {
  /// Runs the graph's first block on states.
  package func forward(
    _ input: NumberBuffer<Number>, _ packed: PackedTokens, weights: UnsafePointer<Number>
  ) -> BlockPass<Number> {
    let pass = Pass(self, packed)
    let made = run(blocks[0], input, pass, weights)
    let output = NumberBuffer<Number>(input.count, isZeroed: false)
    finish(blocks[0], made, into: output, weights)
    return BlockPass(pass: pass, input: input, made: made, output: output)
  }

  /// Goes back through it.
  ///
  /// - Parameters:
  ///   - gradient: by the block's output; becomes that by its input.
  ///   - gradients: where those by the weights are added.
  package func goBack(
    _ block: BlockPass<Number>, gradient: NumberBuffer<Number>, weights: UnsafePointer<Number>,
    into gradients: UnsafeMutablePointer<Number>
  ) {
    goBackThroughFeedForward(blocks[0], block.made, gradient, weights, gradients)
    goBackThroughAttention(blocks[0], block.made, block.input, block.pass, gradient, weights, gradients)
  }
}
