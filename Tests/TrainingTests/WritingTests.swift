import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import Training

/// Text that the student writes while it learns.
@Suite("Written batches", .serialized)
struct WritingTests {
  private struct Stop: Error {}

  @Test(
    "tokens are drawn from the distribution that a pass over the whole text gives",
    arguments: ["llama-tied", "llama-mqa", "qwen3", "qwen2-window", "llama-yarn"])
  func distribution(name: String) throws {
    let student = try TinyStudent(name)
    let graph = try student.graph(Float.self)
    let weights = try student.weights(Float.self)
    let matrix = student.layout["lm_head.weight"] ?? student.layout["model.embed_tokens.weight"]
    let output = try #require(matrix).offset
    let beginnings = [[3, 9, 4], [7, 7, 1], [3, 9, 4], [1, 2, 3]]
    // So cold that the likeliest is always drawn.
    let texts = graph.write(beginnings, length: 24, temperature: 1e-4, seed: 5, weights: weights.base)
    #expect(texts[0] == texts[2])
    for (text, beginning) in zip(texts, beginnings) {
      #expect(text.count == 24 && Array(text[..<3]) == beginning)
      let pass = graph.forward(PackedTokens([text]), weights: weights.base, remembers: false)
      for place in 2..<23 {
        let state = pass.final.base + place * student.configuration.hiddenSize
        let logits = (0..<student.configuration.vocabularySize).map { token in
          Float.dot(
            state, weights.base + output + token * student.configuration.hiddenSize,
            count: student.configuration.hiddenSize)
        }
        let top = try #require(logits.max())
        #expect(logits[text[place + 1]] > top - 1e-3, "\(name) \(place)")
      }
    }
  }

  @Test("warm texts differ, are the same again, and end where they are ended")
  func draws() throws {
    let student = try TinyStudent("llama-tied")
    let graph = try student.graph(Float.self)
    let weights = try student.weights(Float.self)
    func write(_ seed: UInt64, ends: Set<Int> = []) -> [[Int]] {
      graph.write(
        [[3, 9], [3, 9], [5, 1]], length: 30, temperature: 1, ends: ends, seed: seed, weights: weights.base)
    }
    let texts = write(1)
    #expect(texts == write(1) && texts != write(2) && texts[0] != texts[1])
    let end = texts[0][10]
    let ended = write(1, ends: [end])
    let first = try #require(texts[0][2...].firstIndex(of: end))
    #expect(ended[0] == Array(texts[0][...first]))
    for text in ended { #expect(!text.dropFirst(2).dropLast().contains(end)) }
  }

  private static func trainer(_ share: Double, _ change: (inout TrainingSettings) -> Void = { _ in }) throws
    -> Trainer
  {
    try TinyStudent.trainer {
      $0.steps = 20
      $0.onPolicy = share
      change(&$0)
    }
  }

  @Test("a student learns from what it writes", arguments: [0.25, 1])
  func learns(share: Double) throws {
    let outcome = try Self.trainer(share).run(.init())
    #expect(try #require(outcome.curve.last?.heldOutKLD) < 0.85 * #require(outcome.curve[0].heldOutKLD))
    #expect(outcome.weights.array != (try Self.trainer(0).run(.init()).weights.array))
  }

  @Test("killed and gone on with is never killed, on any number of threads")
  func resumes() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    Parallel.threadCount = 1
    let whole = try Self.trainer(0.4).run(.init())
    Parallel.threadCount = 3
    let path = NSTemporaryDirectory() + "/written-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var observer = Trainer.Observer()
    observer.saveInterval = 0
    observer.save = { state in
      try state.write(to: path, identity: "a", remarks: .null)
      if state.progress.step == 7 { throw Stop() }
    }
    #expect(throws: Stop.self) { try Self.trainer(0.4).run(observer) }
    let rest = try Self.trainer(0.4)
    try rest.resume(try TrainingState.read(path, identity: "a").state)
    #expect(try rest.run(.init()).weights.array == whole.weights.array)
  }

  @Test("what has no judge is refused")
  func refusals() throws {
    let folder = NSTemporaryDirectory() + "/none-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(throws: TrainingError.self) {
      try Self.trainer(0.5) { $0.teacherCache = TeacherCache(folder: folder, kept: 4) }
    }
    #expect(throws: TrainingError.self) { try Self.trainer(0.5) { $0.loss.kind = .crossEntropy } }
  }
}
