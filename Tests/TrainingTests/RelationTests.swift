import ModelFiles
import Models
import TensorCore
import Testing
import Training

/// Self-attention relations.
@Suite("Self-attention relations", .serialized)
struct RelationTests {
  /// Rows of noise.
  private static func rows(
    _ tokens: Int, _ queries: Int, _ keys: Int, _ generator: inout SeededGenerator
  ) -> AttentionRows<Double> {
    func noise(_ width: Int) -> NumberBuffer<Double> {
      NumberBuffer((0..<tokens * width).map { _ in generator.uniform() * 4 - 2 })
    }
    return AttentionRows(queries: noise(queries), keys: noise(keys), values: noise(keys))
  }

  /// The definition, a sum at a time.
  private static func naive(
    _ student: AttentionRows<Double>, _ teacher: AttentionRows<Double>, _ documents: [Range<Int>], heads: Int,
    isCausal: Bool
  ) -> Double {
    let tokens = documents.last?.upperBound ?? 0
    func relations(_ x: NumberBuffer<Double>, _ document: Range<Int>, _ head: Int, _ row: Int) -> [Double] {
      let width = x.count / tokens
      let length = width / heads
      let seen = isCausal ? document.lowerBound...row : document.lowerBound...document.upperBound - 1
      let scores = seen.map { other in
        (0..<length).reduce(0.0) {
          $0 + x.base[row * width + head * length + $1] * x.base[other * width + head * length + $1]
        } / Double(length).squareRoot()
      }
      let sum = scores.reduce(0) { $0 + Double.exponential($1) }
      return scores.map { Double.exponential($0) / sum }
    }
    var loss = 0.0
    let kinds = [
      (student.queries, teacher.queries), (student.keys, teacher.keys), (student.values, teacher.values),
    ]
    for (own, goal) in kinds {
      for document in documents {
        for head in 0..<heads {
          for row in document {
            let (q, p) = (relations(own, document, head, row), relations(goal, document, head, row))
            for (a, b) in zip(p, q) { loss += a * Double.logarithm(a / b) }
          }
        }
      }
    }
    return loss / Double(3 * heads)
  }

  @Test(
    "the loss is its definition, the gradient its difference quotient, widths unequal",
    arguments: [true, false])
  func definition(isCausal: Bool) throws {
    var generator = SeededGenerator(seed: 4)
    let documents = [0..<5, 5..<6, 6..<13]
    let student = Self.rows(13, 12, 6, &generator)
    let teacher = Self.rows(13, 24, 9, &generator)
    let loss = RelationLoss<Double>(weight: 0.5, heads: 3, student: 0, teacher: 0, isCausal: isCausal)
    func run() throws -> (loss: Double, gradients: AttentionRows<Double>) {
      try #require(loss.run(student: student, teacher: teacher, documents: documents, scale: 1))
    }
    let found = try run()
    let expected = 0.5 * Self.naive(student, teacher, documents, heads: 3, isCausal: isCausal)
    #expect(abs(found.loss - expected) < 1e-12 * expected)
    #expect(
      try #require(loss.run(student: teacher, teacher: teacher, documents: documents, scale: 1)).loss < 1e-12)
    let parts = [
      (student.queries, found.gradients.queries), (student.keys, found.gradients.keys),
      (student.values, found.gradients.values),
    ]
    for (values, gradient) in parts {
      for place in 0..<values.count {
        let (before, h) = (values.base[place], 1e-3)
        func at(_ amount: Double) throws -> Double {
          values.base[place] = before + amount
          defer { values.base[place] = before }
          return try run().loss
        }
        let slope = try (8 * (at(h) - at(-h)) - at(2 * h) + at(-2 * h)) / (12 * h)
        #expect(abs(slope - gradient.base[place]) < 1e-6 * abs(slope) + 1e-9)
      }
    }
  }

  @Test("long documents, in tiles, are as short ones")
  func tiles() throws {
    var generator = SeededGenerator(seed: 5)
    for isCausal in [true, false] {
      let (student, teacher) = (Self.rows(150, 8, 8, &generator), Self.rows(150, 4, 4, &generator))
      let loss = RelationLoss<Double>(weight: 1, heads: 2, student: 0, teacher: 0, isCausal: isCausal)
      let found = try #require(
        loss.run(student: student, teacher: teacher, documents: [0..<130, 130..<150], scale: 1)
      ).loss
      let expected = Self.naive(student, teacher, [0..<130, 130..<150], heads: 2, isCausal: isCausal)
      #expect(abs(found - expected) < 1e-11 * expected)
    }
  }

  @Test(
    "gradients by a model's weights are difference quotients",
    arguments: ["llama-tied", "qwen3", "llama-mqa"],
    [false, true])
  func weights(name: String, recomputes: Bool) throws {
    let student = try TinyStudent(name)
    let documents = student.example([7, 12], seed: 1).documents
    let configuration = student.configuration
    let heads = RelationLoss<Double>.heads(
      dividing: [configuration.queryWidth, configuration.keyValueWidth], most: 2)
    var generator = SeededGenerator(seed: 3)
    let goal = Self.rows(19, 10 * heads, 6 * heads, &generator)
    let block = configuration.blockCount - 1
    let loss = RelationLoss<Double>(weight: 2, heads: heads, student: block, teacher: 0, isCausal: true)
    var graph = try student.graph(Double.self)
    graph.recomputes = recomputes
    var step = GradientStep(graph, loss: DistillationLoss())
    step.relationBlock = block
    step.loss.kind = .crossEntropy
    let weights = try student.weights(Double.self)
    let gradient = NumberBuffer<Double>(student.layout.count)
    func run(_ weights: NumberBuffer<Double>) -> Double {
      step.run(
        documents, weights: weights.base, teacher: nil,
        relations: { rows, part, _, scale in
          loss.run(student: rows, teacher: goal, documents: part.documents, scale: scale)
        }, into: gradient)
    }
    _ = run(weights)
    let found = gradient.copy()
    for entry in student.layout.entries {
      let signs = (0..<entry.count).map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
      func along(_ amount: Double) -> Double {
        let moved = weights.copy()
        for (place, sign) in signs.enumerated() { moved.base[entry.offset + place] += amount * sign }
        return run(moved)
      }
      let h = 2e-4
      let slope = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
      var (product, square) = (0.0, 0.0)
      for (place, sign) in signs.enumerated() {
        let slope = found.base[entry.offset + place]
        product += slope * sign
        square += slope * slope
      }
      #expect(abs(slope - product) < 1e-6 * max(abs(product), square.squareRoot()) + 1e-11, "\(entry.name)")
    }
  }

  @Test("gradients by an encoder's weights are difference quotients")
  func encoder() throws {
    let checkpoint = try TinyStudent.checkpoint("bert-mean")
    let architecture = try #require(checkpoint.architecture as? BertArchitecture)
    let layout = ParameterLayout(checkpoint)
    let graph = try BertGraph<Double>(architecture.configuration, layout: layout)
    let packed = PackedTokens([[5, 9, 33, 2], [7], [1, 2, 3, 4, 5, 60, 61, 3, 9]])
    var generator = SeededGenerator(seed: 6)
    let goal = Self.rows(packed.count, 6, 6, &generator)
    let block = architecture.configuration.blockCount - 1
    let loss = RelationLoss<Double>(weight: 1, heads: 2, student: block, teacher: 0, isCausal: false)
    let weights = NumberBuffer<Double>(try layout.weights(of: checkpoint).array.map { Double($0) })
    let gradient = NumberBuffer<Double>(layout.count)
    func run(_ weights: NumberBuffer<Double>) throws -> Double {
      gradient.clear()
      let pass = graph.forward(packed, weights: weights.base, remembers: true, relations: block)
      let rows = try #require(pass.relations)
      let found = try #require(
        loss.run(student: rows, teacher: goal, documents: packed.documents, scale: 1))
      graph.goBack(
        pass, gradient: NumberBuffer<Double>(pass.final.count), relations: (block, found.gradients),
        weights: weights.base, into: gradient.base)
      return found.loss
    }
    _ = try run(weights)
    let found = gradient.copy()
    for entry in layout.entries {
      let signs = (0..<entry.count).map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
      func along(_ amount: Double) throws -> Double {
        let moved = weights.copy()
        for (place, sign) in signs.enumerated() { moved.base[entry.offset + place] += amount * sign }
        return try run(moved)
      }
      let h = 2e-4
      let slope = try (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
      var (product, square) = (0.0, 0.0)
      for (place, sign) in signs.enumerated() {
        let slope = found.base[entry.offset + place]
        product += slope * sign
        square += slope * slope
      }
      #expect(abs(slope - product) < 1e-6 * max(abs(product), square.squareRoot()) + 1e-10, "\(entry.name)")
    }
  }

  @Test("a student learns by relations too, and what cannot be is refused")
  func trains() throws {
    var (layer, heads): (Int?, Int?)
    func trainer() throws -> Trainer {
      try TinyStudent.trainer {
        $0.relationWeight = 0.5
        $0.hiddenWeight = 0.2
        ($0.relationLayer, $0.relationHeads) = (layer, heads)
      }
    }
    let outcome = try trainer().run(.init())
    #expect(try #require(outcome.curve.last?.heldOutKLD) < 0.7 * #require(outcome.curve[0].heldOutKLD))
    layer = 99
    #expect(throws: TrainingError.self) { try trainer() }
    (layer, heads) = (1, 7)
    #expect(throws: TrainingError.self) { try trainer() }
  }

  @Test("heads divide all widths")
  func heads() {
    #expect(RelationLoss<Float>.heads(dividing: [384, 384], most: 12) == 12)
    #expect(RelationLoss<Float>.heads(dividing: [256, 128, 192, 96], most: 8) == 8)
    #expect(RelationLoss<Float>.heads(dividing: [7, 5], most: 8) == 1)
  }
}
