import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import Training

/// Learning from what is kept of a teacher's predictions.
@Suite("Kept predictions", .serialized)
struct TeacherCacheTests {
  private static let vocabulary = 40

  private static func logits(seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<vocabulary).map { _ in Float(generator.uniform() * 6 - 3) }
  }

  private static func probabilities(_ logits: [Double]) -> [Double] {
    let sum = logits.reduce(0) { $0 + exp($1) }
    return logits.map { exp($0) / sum }
  }

  /// KL over the kept tokens and the bucket of all others, from the definition.
  private static func naive(_ p: [Double], _ student: [Double], _ kept: [Int]) -> Double {
    let q = probabilities(student)
    var (sum, mass, own) = (0.0, 0.0, 0.0)
    for token in kept {
      sum += p[token] * log(p[token] / q[token])
      mass += p[token]
      own += q[token]
    }
    return kept.count < p.count ? sum + (1 - mass) * log((1 - mass) / (1 - own)) : sum
  }

  @Test("the likeliest tokens and their bucket, against the definition", arguments: [1, 5, 39, 40])
  func rows(kept: Int) throws {
    let teacher = Self.logits(seed: 1)
    let p = Self.probabilities(teacher.map { Double($0) })
    var (tokens, logs) = ([UInt32](repeating: 0, count: kept), [Float](repeating: 0, count: kept))
    LikeliestRow.write(teacher, count: Self.vocabulary, tokens: &tokens, logs: &logs, kept: kept)
    let expected = p.indices.sorted { p[$0] > p[$1] }.prefix(kept)
    #expect(tokens.map { Int($0) } == Array(expected))
    for (place, token) in expected.enumerated() { #expect(abs(Double(logs[place]) - log(p[token])) < 1e-5) }
    let student = Self.logits(seed: 2).map { Double($0) }
    let (gradient, scratch) = (NumberBuffer<Double>(student), NumberBuffer<Double>(Self.vocabulary))
    let loss = tokens.withUnsafeBufferPointer { tokens in
      logs.withUnsafeBufferPointer { logs -> Double in
        guard let a = tokens.baseAddress, let b = logs.baseAddress else { return .nan }
        return LikeliestRow(tokens: a, logs: b, count: kept).divergence(
          gradient.base, scratch.base, vocabulary: Self.vocabulary)
      }
    }
    #expect(abs(loss - Self.naive(p, student, Array(expected))) < 1e-5)
    for token in 0..<Self.vocabulary {
      var (above, below) = (student, student)
      above[token] += 1e-4
      below[token] -= 1e-4
      let slope =
        (Self.naive(p, above, Array(expected)) - Self.naive(p, below, Array(expected))) / 2e-4
      #expect(abs(gradient.base[token] - slope) < 1e-5, "\(kept) \(token)")
    }
  }

  private static func trainer(_ student: TinyStudent, _ settings: TrainingSettings) throws -> Trainer {
    var generator = SeededGenerator(seed: 2)
    let weights = try student.weights(Float.self)
    for place in 0..<weights.count { weights.base[place] += 0.1 * Float(generator.uniform() - 0.5) }
    let start = try student.layout.storing(weights, in: student.checkpoint)
    let documents = student.example(Array(repeating: [20, 31, 8, 40], count: 12).flatMap { $0 }, seed: 3)
      .documents
    return try Trainer(
      student: start, teacher: student.checkpoint, documents: documents,
      heldOut: student.example([30, 24], seed: 4).documents, settings: settings)
  }

  @Test("with all tokens kept a student learns the same; the file is used again, a damaged one is not")
  func trains() throws {
    let student = try TinyStudent("llama-tied")
    let folder = NSTemporaryDirectory() + "/kept-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var settings = TrainingSettings()
    settings.steps = 12
    settings.batchTokens = 128
    settings.learningRate = 3e-3
    let plain = try Self.trainer(student, settings).run(.init())
    settings.teacherCache = TeacherCache(folder: folder, kept: 1 << 20)
    let first = try Self.trainer(student, settings).run(.init())
    for (a, b) in zip(plain.curve, first.curve) {
      let (x, y) = (try #require(a.heldOutKLD), try #require(b.heldOutKLD))
      #expect(abs(x - y) < 2e-3 * x, "\(x) \(y)")
    }
    let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
    let path = folder + "/" + name
    let inode = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
    let again = try Self.trainer(student, settings).run(.init())
    #expect(again.weights.array == first.weights.array)
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int == inode)
    try Data("damaged".utf8).write(to: URL(fileURLWithPath: path))
    #expect(try Self.trainer(student, settings).run(.init()).weights.array == first.weights.array)
    settings.teacherCache?.kept = 4
    let few = try Self.trainer(student, settings).run(.init())
    #expect(try #require(few.curve.last?.heldOutKLD) < #require(few.curve[0].heldOutKLD))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
    settings.loss.kind = .jensenShannon
    let error = #expect(throws: TrainingError.self) { try Self.trainer(student, settings) }
    #expect(error?.description.contains("serve the loss forward-kl alone, not jsd") == true)
  }
}
