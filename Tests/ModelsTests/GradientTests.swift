import ModelFiles
import Models
import TensorCore
import Testing

/// Gradients against central differences of the forward pass, on every kind of llama block.
@Suite struct GradientTests {
  /// One block of a tiny model and one sequence of random hidden states, with the loss Σ u · output for a random u.
  private struct Setup {
    let model: any GradientModel
    var tensors: [StoredTensor]
    var hidden: [Float]
    let direction: [Float]
    let tokens = 11

    init(_ name: String) throws {
      let checkpoint = try TinyModel.checkpoint(name)
      model = try #require(checkpoint.architecture?.blockwise as? any GradientModel)
      tensors = checkpoint.tensors
      var generator = SeededGenerator(seed: 7)
      let count = tokens * model.hiddenWidth
      hidden = (0..<count).map { _ in Float(generator.uniform() * 2 - 1) }
      direction = (0..<count).map { _ in Float(generator.uniform() * 2 - 1) }
    }

    var lookup: TensorLookup { TensorLookup(tensors, path: "test") }

    func loss() throws -> Double {
      let block = try model.makeBlock(0, tensors: lookup)
      var state = hidden
      for (place, step) in model.steps(ofBlock: 0).enumerated() where place % 2 == 1 {
        var x = [Float](repeating: 0, count: tokens * step.inputWidth)
        block.input(ofStep: place, hidden: state, sequences: [0..<tokens], into: &x)
        block.finish(step: place, x: x, tokens: tokens, hidden: &state)
      }
      return zip(state, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    /// The gradients by the input and by each layer's outputs.
    func gradients() throws -> (input: [Float], layers: [String: [Float]]) {
      var gradient = direction
      var layers: [String: [Float]] = [:]
      try model.goBack(
        throughBlock: 0, tensors: lookup, hidden: hidden, tokens: tokens, gradient: &gradient
      ) { name, outputs in
        let rows = tensors.first { $0.name == name }?.rowCount ?? 0
        layers[name] = Array(UnsafeBufferPointer(start: outputs, count: tokens * rows))
      }
      return (gradient, layers)
    }

    /// The inputs of a layer.
    func inputs(ofStep wanted: Int) throws -> [Float] {
      let block = try model.makeBlock(0, tensors: lookup)
      var state = hidden
      for (place, step) in model.steps(ofBlock: 0).enumerated() {
        var x = [Float](repeating: 0, count: tokens * step.inputWidth)
        block.input(ofStep: place, hidden: state, sequences: [0..<tokens], into: &x)
        if place == wanted { return x }
        block.finish(step: place, x: x, tokens: tokens, hidden: &state)
      }
      return []
    }

    mutating func change(_ name: String, _ place: Int, by amount: Float) throws {
      let index = try #require(tensors.firstIndex { $0.name == name })
      var values = try tensors[index].values()
      values[place] += amount
      tensors[index].format = .f32
      tensors[index].bytes = TensorBytes(
        values.withUnsafeBytes { bytes in ByteRegion(count: bytes.count) { $0.copyMemory(from: bytes) } })
    }
  }

  @Test(arguments: TinyModel.language) func inputGradientsAreDifferences(name: String) throws {
    var setup = try Setup(name)
    let gradient = try setup.gradients().input
    let size = gradient.reduce(0) { max($0, abs($1)) }
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<12 {
      let place = Int(generator.uniform() * Double(gradient.count))
      let old = setup.hidden[place]
      setup.hidden[place] = old + 0.01
      let above = try setup.loss()
      setup.hidden[place] = old - 0.01
      let below = try setup.loss()
      setup.hidden[place] = old
      #expect(abs((above - below) / 0.02 - Double(gradient[place])) < 0.01 * Double(size) + 1e-4)
    }
  }

  @Test(arguments: TinyModel.language) func layerGradientsAreDifferences(name: String) throws {
    let setup = try Setup(name)
    let gradients = try setup.gradients().layers
    var generator = SeededGenerator(seed: 5)
    for (step, part) in setup.model.steps(ofBlock: 0).enumerated() {
      let x = try setup.inputs(ofStep: step)
      for layer in part.layers {
        let g = try #require(gradients[layer])
        let rows = g.count / setup.tokens
        let (row, column) = (
          Int(generator.uniform() * Double(rows)), Int(generator.uniform() * Double(part.inputWidth))
        )
        let expected = (0..<setup.tokens).reduce(0.0) {
          $0 + Double(g[$1 * rows + row]) * Double(x[$1 * part.inputWidth + column])
        }
        var (above, below) = (setup, setup)
        try above.change(layer, row * part.inputWidth + column, by: 0.004)
        try below.change(layer, row * part.inputWidth + column, by: -0.004)
        let slope = (try above.loss() - below.loss()) / 0.008
        #expect(abs(slope - expected) < 0.02 * abs(expected) + 0.004, "\(layer)")
      }
    }
  }

  @Test func outputNormGradientsAreDifferences() throws {
    let setup = try Setup("llama-tied")
    func loss(_ hidden: [Float]) throws -> Double {
      var x = hidden
      try setup.model.outputInput(hidden: hidden, tokens: setup.tokens, tensors: setup.lookup, into: &x)
      return zip(x, setup.direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    var gradient = setup.direction
    try setup.model.goBackThroughOutputNorm(
      tensors: setup.lookup, hidden: setup.hidden, tokens: setup.tokens, gradient: &gradient)
    for place in stride(from: 0, to: gradient.count, by: 29) {
      var (above, below) = (setup.hidden, setup.hidden)
      above[place] += 0.01
      below[place] -= 0.01
      #expect(abs((try loss(above) - loss(below)) / 0.02 - Double(gradient[place])) < 2e-3)
    }
  }
}
