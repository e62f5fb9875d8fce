import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import Training

/// States inside the models.
@Suite("Hidden states", .serialized)
struct HiddenTests {
  private struct Stop: Error {}

  @Test("places are a quarter, half, three quarters of both depths, and their ends")
  func places() {
    func pairs(_ student: Int, _ teacher: Int) -> [[Int]] {
      HiddenLoss<Float>(.cosine, weight: 1, student: (student, 8), teacher: (teacher, 8)).pairs.map {
        [$0.student, $0.teacher]
      }
    }
    #expect(pairs(4, 8) == [[1, 2], [2, 4], [3, 6], [4, 8]])
    #expect(pairs(2, 3) == [[1, 1], [2, 2]] || pairs(2, 3).allSatisfy { $0[0] <= 2 && $0[1] <= 3 })
    #expect(pairs(1, 12).count == 1)
  }

  @Test(
    "gradients by weights and matrices are difference quotients, with unequal widths",
    arguments: [HiddenLossKind.squaredError, .cosine])
  func gradients(kind: HiddenLossKind) throws {
    let student = try TinyStudent("llama-tied")
    let documents = student.example([7, 12], seed: 1).documents
    let (blocks, width) = (student.configuration.blockCount, student.configuration.hiddenSize)
    let loss = HiddenLoss<Double>(kind, weight: 0.7, student: (blocks, width), teacher: (5, width + 3))
    var generator = SeededGenerator(seed: 3)
    func noise(_ count: Int) -> NumberBuffer<Double> {
      NumberBuffer((0..<count).map { _ in generator.uniform() - 0.5 })
    }
    let tokens = documents.reduce(0) { $0 + $1.count }
    let goals = Dictionary(
      loss.pairs.map { ($0.teacher, noise(tokens * (width + 3))) }, uniquingKeysWith: { a, _ in a })
    let projections = noise(loss.pairs.count * loss.projectionCount)
    let weights = try student.weights(Double.self)
    var step = GradientStep(try student.graph(Double.self), loss: DistillationLoss())
    step.taps = Set(loss.pairs.map(\.student))
    step.loss.kind = .crossEntropy
    let (gradient, slopes) = (
      NumberBuffer<Double>(student.layout.count), NumberBuffer<Double>(projections.count)
    )
    func run(_ weights: NumberBuffer<Double>, _ projections: NumberBuffer<Double>) -> Double {
      slopes.clear()
      return step.run(
        documents, weights: weights.base, teacher: nil,
        inside: { pass, part, _, scale in
          loss.run(
            student: pass.taps, teacher: goals, tokens: part.count, projections: projections.base,
            scale: scale, projectionGradients: slopes.base)
        }, into: gradient)
    }
    _ = run(weights, projections)
    let (found, foundSlopes) = (gradient.copy(), slopes.copy())
    func check(
      _ range: Range<Int>, _ values: NumberBuffer<Double>, _ gradients: NumberBuffer<Double>, _ name: String
    ) {
      let signs = range.map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
      func along(_ amount: Double) -> Double {
        let moved = values.copy()
        for (place, sign) in zip(range, signs) { moved.base[place] += amount * sign }
        return values === weights ? run(moved, projections) : run(weights, moved)
      }
      let h = 2e-4
      let slope = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
      var (product, square) = (0.0, 0.0)
      for (place, sign) in zip(range, signs) {
        product += gradients.base[place] * sign
        square += gradients.base[place] * gradients.base[place]
      }
      #expect(abs(slope - product) < 1e-6 * max(abs(product), square.squareRoot()) + 1e-11, "\(name)")
    }
    for entry in student.layout.entries {
      check(entry.offset..<entry.offset + entry.count, weights, found, entry.name)
    }
    check(0..<projections.count, projections, foundSlopes, "projections")
  }

  @Test("a student learns by states too, and goes on where it was killed, to the bit")
  func trains() throws {
    var cache: TeacherCache?
    func trainer() throws -> Trainer {
      try TinyStudent.trainer {
        $0.hiddenWeight = 0.5
        $0.teacherCache = cache
      }
    }
    let whole = try trainer().run(.init())
    #expect(try #require(whole.curve.last?.heldOutKLD) < 0.7 * #require(whole.curve[0].heldOutKLD))
    let path = NSTemporaryDirectory() + "/hidden-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var observer = Trainer.Observer()
    observer.saveInterval = 0
    observer.save = { state in
      try state.write(to: path, identity: "a", remarks: .null)
      if state.progress.step == 13 { throw Stop() }
    }
    #expect(throws: Stop.self) { try trainer().run(observer) }
    let rest = try trainer()
    try rest.resume(try TrainingState.read(path, identity: "a").state)
    #expect(try rest.run(.init()).weights.array == whole.weights.array)
    let folder = NSTemporaryDirectory() + "/none-\(UUID().uuidString)"
    cache = TeacherCache(folder: folder, kept: 4)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let error = #expect(throws: TrainingError.self) { try trainer() }
    #expect(error?.description.contains("holds predictions, not states") == true)
  }
}
