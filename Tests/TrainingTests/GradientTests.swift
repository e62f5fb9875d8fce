import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import TestSupport
import Training

/// Gradients by every weight against differences in double precision, and against PyTorch's.
@Suite("Gradients of training")
struct TrainingGradientTests {
  private static func loss(_ kind: DistillationLoss.Kind) -> DistillationLoss {
    var loss = DistillationLoss()
    loss.kind = kind
    loss.temperature = 2
    loss.beta = 0.3
    return loss
  }

  /// Along a random direction in each tensor, relative to the largest that a direction of its length can give, by a chance of one in
  /// a few: the tensor's gradient's length over the root of its elements.
  private static func checkDifferences(_ student: TinyStudent, _ kind: DistillationLoss) throws {
    let (documents, teacher) = student.example([7, 1, 12])
    let weights = try student.weights(Double.self)
    let gradient = try student.loss(kind, documents, teacher: teacher, weights: weights).gradient
    var generator = SeededGenerator(seed: 11)
    for entry in student.layout.entries {
      let direction = (0..<entry.count).map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
      func along(_ amount: Double) throws -> Double {
        let moved = weights.copy()
        for (place, sign) in direction.enumerated() { moved.base[entry.offset + place] += amount * sign }
        return try student.loss(kind, documents, teacher: teacher, weights: moved).loss
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
      #expect(
        abs(slope - product) < 1e-6 * size + 1e-11,
        "\(student.checkpoint.name) \(entry.name): \(slope), \(product)")
    }
  }

  @Test(
    "every layer's gradient is the difference quotient, in double precision", arguments: TinyStudent.names)
  func differences(name: String) throws {
    try Self.checkDifferences(try TinyStudent(name), DistillationLoss())
  }

  @Test("so is that of every loss", arguments: DistillationLoss.Kind.allCases)
  func losses(kind: DistillationLoss.Kind) throws {
    let student = try TinyStudent("llama-bias")
    try Self.checkDifferences(student, Self.loss(kind))
    var mixed = Self.loss(kind)
    mixed.textWeight = 0.25
    try Self.checkDifferences(student, mixed)
  }

  @Test(
    "the same loss and gradients as PyTorch",
    arguments: ["llama-tied", "llama-bias", "llama-mqa", "llama-yarn", "qwen2-window", "qwen3"])
  func pytorch(name: String) throws {
    let student = try TinyStudent(name)
    let source = try SafetensorsFile.read(MappedFile(path: fixture("\(name).safetensors")))
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
    let teacher = try tensor("teacher").values()
    let weights = try student.weights(Float.self)
    for kind in DistillationLoss.Kind.allCases {
      let found = try student.loss(Self.loss(kind), documents, teacher: teacher, weights: weights)
      let expected = Double(try tensor("\(kind.rawValue).loss").values()[0])
      #expect(abs(found.loss - expected) < 1e-5 * abs(expected))
      for entry in student.layout.entries {
        guard
          let values = try source.tensors.first(where: { $0.name == "\(kind.rawValue).\(entry.name)" })?
            .values()
        else { continue }
        let top = values.reduce(0) { max($0, abs($1)) }
        let worst = values.enumerated().reduce(Float(0)) {
          max($0, abs($1.element - found.gradient.base[entry.offset + $1.offset]))
        }
        #expect(worst < 1e-5 * max(top, 1e-3), "\(kind.rawValue) \(entry.name): \(worst) of \(top)")
      }
    }
  }

  @Test("single precision agrees with double", arguments: TinyStudent.names)
  func precision(name: String) throws {
    let student = try TinyStudent(name)
    let (documents, teacher) = student.example([40, 3, 130])
    let narrow = try student.loss(
      DistillationLoss(), documents, teacher: teacher, weights: try student.weights(Float.self))
    let wide = try student.loss(
      DistillationLoss(), documents, teacher: teacher, weights: try student.weights(Double.self))
    #expect(abs(narrow.loss - wide.loss) < 1e-5 * wide.loss)
    for entry in student.layout.entries {
      let top = (0..<entry.count).reduce(0.0) { max($0, abs(wide.gradient.base[entry.offset + $1])) }
      let worst = (0..<entry.count).reduce(0.0) {
        max($0, abs(wide.gradient.base[entry.offset + $1] - Double(narrow.gradient.base[entry.offset + $1])))
      }
      #expect(worst < 2e-5 * max(top, 1e-4), "\(entry.name): \(worst) of \(top)")
    }
  }

  @Test("activations made again give the same gradients to the bit, and so does any number of threads")
  func sameBits() throws {
    let student = try TinyStudent("qwen3")
    let (documents, teacher) = student.example([50, 3, 70, 41])
    let weights = try student.weights(Float.self)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let kept = try student.loss(DistillationLoss(), documents, teacher: teacher, weights: weights)
    for threads in [1, 2, 4] {
      Parallel.threadCount = threads
      for recomputes in [false, true] {
        let again = try student.loss(
          DistillationLoss(), documents, teacher: teacher, weights: weights, recomputes: recomputes)
        #expect(again.loss == kept.loss)
        #expect(again.gradient.array == kept.gradient.array)
      }
    }
  }

  @Test("packed documents do not see each other; parts of a batch add up")
  func packing() throws {
    let student = try TinyStudent("mistral")
    let (documents, teacher) = student.example([20, 5, 31])
    let weights = try student.weights(Double.self)
    let whole = try student.loss(DistillationLoss(), documents, teacher: teacher, weights: weights)
    let parts = try student.loss(
      DistillationLoss(), documents, teacher: teacher, weights: weights, partTokens: 1)
    #expect(abs(whole.loss - parts.loss) < 1e-12)
    let vocabulary = student.configuration.vocabularySize
    var (sum, start) = (0.0, 0)
    for document in documents {
      let rows = Array(teacher[start * vocabulary..<(start + document.count) * vocabulary])
      let alone = try student.loss(DistillationLoss(), [document], teacher: rows, weights: weights)
      sum += alone.loss * Double(document.count)
      start += document.count
    }
    #expect(abs(sum / Double(start) - whole.loss) < 1e-12)
    for place in stride(from: 0, to: whole.gradient.count, by: 97) {
      #expect(abs(whole.gradient.base[place] - parts.gradient.base[place]) < 1e-12)
    }
  }
}
