import Foundation
import ModelFiles
import Models
import TensorCore
import Testing
import Training
import WeightCodecs

/// Whole trainings of tiny models.
@Suite("Trainings", .serialized)
struct TrainerTests {
  private struct Stop: Error {}

  private static func settings(steps: Int) -> TrainingSettings {
    var settings = TrainingSettings()
    settings.steps = steps
    settings.batchTokens = 64
    settings.tests = 4
    settings.learningRate = 3e-3
    return settings
  }

  /// A student that is its teacher with noise on its weights.
  private static func noisy(_ student: TinyStudent, _ amount: Float = 0.1) throws -> Checkpoint {
    var generator = SeededGenerator(seed: 2)
    let weights = try student.weights(Float.self)
    for place in 0..<weights.count { weights.base[place] += amount * Float(generator.uniform() - 0.5) }
    return try student.layout.storing(weights, in: student.checkpoint)
  }

  private static func trainer(
    _ student: TinyStudent, _ checkpoint: Checkpoint, _ settings: TrainingSettings
  ) throws -> Trainer {
    let lengths = [20, 31, 8, 40, 12, 25, 33, 17, 40, 40, 29, 38]
    let documents = student.example(Array(repeating: lengths, count: 12).flatMap { $0 }, seed: 3).documents
    let heldOut = student.example([30, 24], seed: 4).documents
    return try Trainer(
      student: checkpoint, teacher: student.checkpoint, documents: documents, heldOut: heldOut,
      settings: settings)
  }

  @Test("a student comes nearer to its teacher", arguments: ["llama-tied", "llama-bias", "qwen3"])
  func learns(name: String) throws {
    let student = try TinyStudent(name)
    for kind in [DistillationLoss.Kind.forwardKL, .reverseKL, .jensenShannon] {
      var settings = Self.settings(steps: 40)
      settings.loss.kind = kind
      settings.batchTokens = 512
      let outcome = try Self.trainer(student, try Self.noisy(student), settings).run(.init())
      let first = try #require(outcome.curve[0].heldOutKLD)
      let last = try #require(outcome.curve.last?.heldOutKLD)
      #expect(last < 0.7 * first, "\(kind) \(first) \(last)")
      #expect(outcome.steps == 40 && outcome.bestStep > 0)
    }
  }

  @Test("killed and gone on with is never killed, to the bit")
  func resumes() throws {
    let student = try TinyStudent("llama-tied")
    let start = try Self.noisy(student)
    let whole = try Self.trainer(student, start, Self.settings(steps: 30)).run(.init())
    let path = NSTemporaryDirectory() + "/training-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var identityGiven = 0
    for kill in [3, 11, 19] {
      let trainer = try Self.trainer(student, start, Self.settings(steps: 30))
      if identityGiven > 0 { try trainer.resume(try TrainingState.read(path, identity: "a").state) }
      identityGiven += 1
      var observer = Trainer.Observer()
      observer.saveInterval = 0
      observer.save = { state in
        try state.write(to: path, identity: "a", remarks: .null)
        if state.progress.step == kill { throw Stop() }
      }
      #expect(throws: Stop.self) { try trainer.run(observer) }
    }
    let last = try Self.trainer(student, start, Self.settings(steps: 30))
    try last.resume(try TrainingState.read(path, identity: "a").state)
    let outcome = try last.run(.init())
    #expect(outcome.weights.array == whole.weights.array)
    #expect(outcome.bestStep == whole.bestStep && outcome.steps == whole.steps)
    #expect(outcome.curve.map(\.heldOutKLD) == whole.curve.map(\.heldOutKLD))
    #expect(outcome.curve.map(\.loss) == whole.curve.map(\.loss))
    #expect(throws: TrainingError.self) { try TrainingState.read(path, identity: "b") }
  }

  @Test("an interruption finishes the step, saves, and goes on as if it had not been")
  func interrupted() throws {
    let student = try TinyStudent("llama-tied")
    let start = try Self.noisy(student)
    let whole = try Self.trainer(student, start, Self.settings(steps: 12)).run(.init())
    let path = NSTemporaryDirectory() + "/training-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var observer = Trainer.Observer()
    var steps = 0
    observer.progress = { _ in steps += 1 }
    observer.isInterrupted = { steps == 5 }
    observer.save = { try $0.write(to: path, identity: "a", remarks: .null) }
    let half = try Self.trainer(student, start, Self.settings(steps: 12)).run(observer)
    #expect(half.wasInterrupted && half.steps == 5)
    let rest = try Self.trainer(student, start, Self.settings(steps: 12))
    try rest.resume(try TrainingState.read(path, identity: "a").state)
    let outcome = try rest.run(.init())
    #expect(outcome.weights.array == whole.weights.array)
    #expect(outcome.curve.map(\.heldOutKLD) == whole.curve.map(\.heldOutKLD))
  }

  @Test("the same weights on one, two and four threads")
  func threads() throws {
    let student = try TinyStudent("llama-bias")
    let start = try Self.noisy(student)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try Self.trainer(student, start, Self.settings(steps: 8)).run(.init()).weights.array
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("weights that were pruned stay zero, all others move")
  func pruned() throws {
    let student = try TinyStudent("llama-tied")
    var start = try Self.noisy(student)
    let place = try #require(start.tensors.firstIndex { $0.name.hasSuffix("up_proj.weight") })
    var values = try start.tensors[place].values()
    for index in values.indices where index % 2 == 0 { values[index] = 0 }
    start.tensors[place].format = .f32
    start.tensors[place].bytes = TensorBytes(
      values.withUnsafeBytes { bytes in ByteRegion(count: bytes.count) { $0.copyMemory(from: bytes) } })
    start.tensors[place].keptLimit = values.count { $0 != 0 }
    let outcome = try Self.trainer(student, start, Self.settings(steps: 10)).run(.init())
    let layout = ParameterLayout(start)
    let entry = try #require(layout[start.tensors[place].name])
    for index in values.indices {
      let value = outcome.weights.base[entry.offset + index]
      #expect(index % 2 == 0 ? value == 0 : value != values[index])
    }
  }

  @Test(
    "a quantized student comes nearer to its teacher, in its own formats",
    arguments: [TensorFormat.q4_0, .q8_0])
  func quantized(format: TensorFormat) throws {
    let student = try TinyStudent("llama-tied")
    var start = student.checkpoint
    for place in start.tensors.indices
    where start.tensors[place].shape.count == 2 && start.tensors[place].rowLength % 32 == 0 {
      let tensor = start.tensors[place]
      let matrix = Matrix(
        rows: tensor.rowCount, columns: tensor.rowLength, elements: try tensor.values())
      start.tensors[place].format = format
      start.tensors[place].bytes = TensorBytes(try TensorCoding.encode(matrix, format: format))
    }
    #expect(CodedWeights.suits(start))
    var settings = Self.settings(steps: 60)
    settings.batchTokens = 512
    settings.learningRate = 5e-4
    settings.codeRate = 0.03
    let trainer = try Self.trainer(student, start, settings)
    let outcome = try trainer.run(.init())
    let first = try #require(outcome.curve[0].heldOutKLD)
    let best = try #require(outcome.curve.first { $0.step == outcome.bestStep }?.heldOutKLD)
    #expect(best < (format == .q4_0 ? 0.95 : 1) * first, "\(first) \(best)")
    let made = try trainer.student(of: outcome.weights)
    #expect(made.tensors.map(\.format) == start.tensors.map(\.format))
    #expect(abs(try trainer.heldOutValue(of: made) - best) < 1e-4 * best)
  }

  @Test("what gains nothing is undone: the start's weights come out")
  func undone() throws {
    let student = try TinyStudent("llama-tied")
    var settings = Self.settings(steps: 12)
    settings.learningRate = 0.5
    let outcome = try Self.trainer(student, student.checkpoint, settings).run(.init())
    #expect(outcome.bestStep == 0)
    #expect(outcome.weights.array == (try student.weights(Float.self).array))
  }

  @Test("what cannot be is refused, what goes wrong says where")
  func errors() throws {
    let student = try TinyStudent("llama-tied")
    let few = #expect(throws: TrainingError.self) {
      try Trainer(
        student: student.checkpoint, teacher: student.checkpoint, documents: [[1, 2, 3]], heldOut: [[1, 2]],
        settings: Self.settings(steps: 1))
    }
    #expect(few?.description.contains("3 tokens of text are too few") == true)
    var broken = try Self.noisy(student)
    let place = try #require(broken.tensors.firstIndex { $0.name.hasSuffix("1.mlp.up_proj.weight") })
    var values = try broken.tensors[place].values()
    values[7] = .nan
    broken.tensors[place].format = .f32
    broken.tensors[place].bytes = TensorBytes(
      values.withUnsafeBytes { bytes in ByteRegion(count: bytes.count) { $0.copyMemory(from: bytes) } })
    let trainer = try Self.trainer(student, broken, Self.settings(steps: 2))
    let error = #expect(throws: TrainingError.self) { try trainer.run(.init()) }
    #expect(error?.description.contains("model.layers.1.mlp.up_proj.weight") == true)
    #expect(error?.description.contains("step 1") == true)
  }

  @Test("warm-up, then down to a tenth")
  func schedules() {
    for schedule in TrainingSettings.Schedule.allCases {
      var settings = Self.settings(steps: 200)
      settings.schedule = schedule
      settings.learningRate = 1
      let rates = (0..<200).map { settings.rate(step: $0, progress: Double($0) / 200) }
      #expect(rates[0] == 0.1 && rates[9] > 0.95)
      #expect(abs(rates[199] - (schedule == .constant ? 1 : 0.1)) < 0.01)
      #expect(zip(rates[10...], rates[11...]).allSatisfy { $0 >= $1 })
    }
  }

  @Test("rates meant for some steps fall with the root of more, by count or by the clock")
  func lengths() {
    var settings = Self.settings(steps: 100)
    (settings.learningRate, settings.schedule, settings.steadySteps) = (1, .constant, 100)
    #expect(settings.rate(step: 50, progress: 0.5) == 1)
    settings.steps = 400
    #expect(settings.rate(step: 200, progress: 0.5) == 0.5)
    (settings.steps, settings.minutes) = (nil, 5)
    #expect(settings.rate(step: 50, progress: 0.5) == 1)
    #expect(settings.rate(step: 200, progress: 0.5) == 0.5)
    settings.steadySteps = nil
    #expect(settings.rate(step: 200, progress: 0.5) == 1)
    // Of steps and time, what ends it sooner counts.
    (settings.steps, settings.steadySteps) = (100_000, 100)
    #expect(settings.rate(step: 6000, progress: 0.5) == (1.0 / 120).squareRoot())
  }

  @Test("all documents once before any twice")
  func order() {
    var order = DataOrder(lengths: [10, 20, 30, 40, 50], seed: 9)
    var again = order
    for epoch in 0..<3 {
      var seen: [Int] = []
      while seen.count < 5 { seen += order.next(tokens: 60) }
      #expect(seen.sorted() == [0, 1, 2, 3, 4], "\(epoch)")
    }
    for _ in 0..<4 { _ = again.next(tokens: 60) }
    var resumed = DataOrder(
      lengths: [10, 20, 30, 40, 50], seed: 9, epoch: again.epoch, place: again.place)
    for _ in 0..<5 { #expect(resumed.next(tokens: 60) == again.next(tokens: 60)) }
  }
}
