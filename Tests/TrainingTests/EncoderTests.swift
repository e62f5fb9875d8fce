import ModelFiles
import Models
import TensorCore
import Testing
import TestSupport
import Training

/// Gradients of encoders against differences in double precision and PyTorch's, and a training of one.
@Suite("Training of encoders")
struct EncoderTests {
  private let documents = [[5, 9, 33, 2], [7], [1, 2, 3, 4, 5, 60, 61, 3, 9], [11, 12, 13, 12, 11]]

  private func loss<Number: TrainingNumber>(
    _ checkpoint: Checkpoint, _ documents: [[Int]], teacher: NumberBuffer<Number>,
    weights: NumberBuffer<Number>
  ) throws -> (loss: Double, gradient: NumberBuffer<Number>) {
    let architecture = try #require(checkpoint.architecture as? BertArchitecture)
    let layout = ParameterLayout(checkpoint)
    let graph = try BertGraph<Number>(architecture.configuration, layout: layout)
    let packed = PackedTokens(documents)
    let pass = graph.forward(packed, weights: weights.base, remembers: true)
    let (gradient, gradients) = (
      NumberBuffer<Number>(packed.count * graph.width), NumberBuffer<Number>(layout.count)
    )
    let loss = EmbeddingLoss<Number>(
      takesFirst: architecture.configuration.pooling == .cls, width: graph.width
    ).run(
      student: pass.final, teacher: teacher, packed, total: documents.count, gradient: gradient)
    graph.goBack(pass, gradient: gradient, weights: weights.base, into: gradients.base)
    return (loss, gradients)
  }

  @Test("every tensor's gradient is the difference quotient", arguments: ["bert-mean", "bert-cls"])
  func differences(name: String) throws {
    let checkpoint = try TinyStudent.checkpoint(name)
    let layout = ParameterLayout(checkpoint)
    var generator = SeededGenerator(seed: 8)
    let count = documents.reduce(0) { $0 + $1.count } * 32
    let teacher = NumberBuffer<Double>((0..<count).map { _ in generator.uniform() * 2 - 1 })
    let weights = NumberBuffer<Double>(try layout.weights(of: checkpoint).array.map { Double($0) })
    let gradient = try loss(checkpoint, documents, teacher: teacher, weights: weights).gradient
    for entry in layout.entries {
      let direction = (0..<entry.count).map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
      func along(_ amount: Double) throws -> Double {
        let moved = weights.copy()
        for (place, sign) in direction.enumerated() { moved.base[entry.offset + place] += amount * sign }
        return try loss(checkpoint, documents, teacher: teacher, weights: moved).loss
      }
      let h = 2e-4
      let slope = try (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
      var (product, square) = (0.0, 0.0)
      for place in 0..<entry.count {
        let g = gradient.base[entry.offset + place]
        product += g * direction[place]
        square += g * g
      }
      let size = max(abs(product), square.squareRoot())
      #expect(abs(slope - product) < 1e-6 * size + 1e-11, "\(name) \(entry.name): \(slope), \(product)")
    }
  }

  @Test("the same loss and gradients as PyTorch")
  func pytorch() throws {
    let checkpoint = try TinyStudent.checkpoint("bert-mean")
    let layout = ParameterLayout(checkpoint)
    let source = try SafetensorsFile.read(MappedFile(path: fixture("bert-mean.safetensors")))
    func tensor(_ name: String) throws -> StoredTensor {
      try #require(source.tensors.first { $0.name == name })
    }
    let stored = try tensor("documents")
    let region = try stored.bytes.load()
    let documents = (0..<stored.rowCount).map { row in
      (0..<stored.rowLength).map {
        Int(region.base.loadUnaligned(fromByteOffset: (row * stored.rowLength + $0) * 4, as: Int32.self))
      }.filter { $0 >= 0 }
    }
    withExtendedLifetime(region) {}
    let found = try loss(
      checkpoint, documents, teacher: NumberBuffer<Float>(try tensor("teacher").values()),
      weights: try layout.weights(of: checkpoint))
    let expected = Double(try tensor("loss").values()[0])
    #expect(abs(found.loss - expected) < 1e-5 * expected)
    for entry in layout.entries {
      let values = try tensor("gradient." + entry.name).values()
      let top = values.reduce(0) { max($0, abs($1)) }
      let worst = values.enumerated().reduce(Float(0)) {
        max($0, abs($1.element - found.gradient.base[entry.offset + $1.offset]))
      }
      #expect(worst < 1e-5 * max(top, 1e-2), "\(entry.name): \(worst) of \(top)")
    }
  }

  @Test("the graph computes what the model that runs computes")
  func sameEmbeddings() throws {
    let checkpoint = try TinyStudent.checkpoint("bert-mean")
    let architecture = try #require(checkpoint.architecture as? BertArchitecture)
    guard case .encoder(let model) = try checkpoint.makeModel() else { return }
    let layout = ParameterLayout(checkpoint)
    let graph = try BertGraph<Float>(architecture.configuration, layout: layout)
    let weights = try layout.weights(of: checkpoint)
    let packed = PackedTokens(documents)
    let states = graph.forward(packed, weights: weights.base, remembers: false).final
    let embeddings = model.embed(documents)
    for (row, document) in packed.documents.enumerated() {
      var mean = [Double](repeating: 0, count: graph.width)
      for place in document {
        for column in 0..<graph.width {
          mean[column] += Double(states.base[place * graph.width + column]) / Double(document.count)
        }
      }
      let length =
        architecture.configuration.normalizes
        ? mean.reduce(0) { $0 + $1 * $1 }.squareRoot() : 1
      for column in 0..<graph.width {
        #expect(abs(mean[column] / length - Double(embeddings[row, column])) < 1e-5)
      }
    }
  }

  @Test("an encoder with noise on its weights finds back to its teacher")
  func learns() throws {
    let checkpoint = try TinyStudent.checkpoint("bert-mean")
    let layout = ParameterLayout(checkpoint)
    var generator = SeededGenerator(seed: 2)
    let weights = try layout.weights(of: checkpoint)
    for place in 0..<weights.count { weights.base[place] += 0.1 * Float(generator.uniform() - 0.5) }
    let student = try layout.storing(weights, in: checkpoint)
    let texts = (0..<150).map { _ in
      (0..<4 + Int(generator.uniform() * 16)).map { _ in Int(generator.uniform() * 64) }
    }
    var settings = TrainingSettings()
    settings.steps = 60
    settings.batchTokens = 256
    settings.learningRate = 3e-3
    let outcome = try Trainer(
      student: student, teacher: checkpoint, documents: Array(texts[..<130]), heldOut: Array(texts[130...]),
      settings: settings
    ).run(.init())
    let first = try #require(outcome.curve.first?.heldOutDistance)
    let last = try #require(outcome.curve.last?.heldOutDistance)
    #expect(last < 0.5 * first, "\(first) \(last)")
    #expect(outcome.curve.allSatisfy { $0.heldOutKLD == nil })
  }
}
