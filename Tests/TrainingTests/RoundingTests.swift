import ModelFiles
import Models
import TensorCore
import Testing
import Training
import WeightCodecs

/// Rounding that is learned block by block.
@Suite("Learned rounding", .serialized)
struct RoundingTests {
  /// The model with the matrices of its blocks in a format.
  private static func rounded(_ student: TinyStudent, _ format: TensorFormat) throws -> Checkpoint {
    var result = student.checkpoint
    for place in result.tensors.indices {
      let tensor = result.tensors[place]
      guard tensor.shape.count == 2, tensor.name.hasPrefix("model.layers."),
        tensor.rowLength % format.blockSize == 0
      else { continue }
      let matrix = Matrix(rows: tensor.rowCount, columns: tensor.rowLength, elements: try tensor.values())
      result.tensors[place].format = format
      result.tensors[place].bytes = TensorBytes(try TensorCoding.encode(matrix, format: format))
    }
    return result
  }

  private static func documents(_ student: TinyStudent) -> (text: [[Int]], heldOut: [[Int]]) {
    let lengths = Array(repeating: [20, 31, 8, 40, 12, 25, 33, 17, 40, 40, 29, 38], count: 6).flatMap { $0 }
    return (
      student.example(lengths, seed: 3).documents, student.example([30, 24, 40, 40], seed: 4).documents
    )
  }

  private static func learn(_ student: TinyStudent, _ start: Checkpoint, steps: Int = 60) throws
    -> LearnedRounding.Outcome
  {
    var settings = BlockRoundingSettings()
    (settings.steps, settings.batchTokens) = (steps, 256)
    let rounding = try #require(
      LearnedRounding(original: student.checkpoint, rounded: start, settings: settings))
    let (text, heldOut) = documents(student)
    return try rounding.run(text, heldOut: heldOut) { _ in }
  }

  @Test(
    "blocks come nearer to the original's, codes by one at most",
    arguments: [("llama-tied", TensorFormat.q4_0), ("qwen3", .q4_0), ("llama-bias", .iq4_nl)])
  func learns(name: String, format: TensorFormat) throws {
    let student = try TinyStudent(name)
    let start = try Self.rounded(student, format)
    let outcome = try Self.learn(student, start)
    #expect(outcome.blocks.count == student.configuration.blockCount)
    for block in outcome.blocks { #expect(block.after < block.before, "\(block)") }
    #expect(outcome.divergence.after < outcome.divergence.before, "\(outcome.divergence)")
    var changed = 0
    for (before, after) in zip(start.tensors, outcome.checkpoint.tensors) {
      #expect(before.format == after.format && before.shape == after.shape)
      let (a, b) = (
        try before.bytes.load().withBytes { Array($0) }, try after.bytes.load().withBytes { Array($0) }
      )
      guard before.format.isQuantized else {
        #expect(a == b, "\(before.name)")
        continue
      }
      changed += a == b ? 0 : 1
      guard format == .q4_0 else { continue }
      // Two bytes of a scale, then 32 codes of 4 bits.
      for place in a.indices where place % 18 > 1 {
        for shift in [UInt8(0), 4] {
          #expect(abs(Int(a[place] >> shift & 15) - Int(b[place] >> shift & 15)) <= 1)
        }
      }
    }
    #expect(changed > 0)
  }

  @Test("numbers begin where weights lie between codes, and round to the same codes")
  func begins() throws {
    for format in [TensorFormat.q4_0, .iq4_nl, .q4_1] {
      let student = try TinyStudent("llama-tied")
      let start = try Self.rounded(student, format)
      let form = try CodedWeights(start, settings: TrainingSettings())
      let first = try form.start()
      let near = first.copy()
      try form.approach(student.checkpoint, near, names: Set(start.tensors.map(\.name)))
      #expect(form.weights(of: near).array == form.weights(of: first).array)
      let goal = try student.weights(Float.self).array
      let values = form.weights(of: first).array
      for (range, _) in form.runs.codes {
        for place in range {
          let (way, error) = (near.base[place] - first.base[place], goal[place] - values[place])
          // The scale's sign tells the way of larger codes.
          #expect(abs(way) <= 0.49 + 1e-5)
          if abs(error) < 1e-6 { #expect(abs(way) < 1e-3) }
          if format == .q4_1, abs(error) > 1e-4 { #expect(way * error > 0) }
        }
      }
    }
  }

  @Test("a block's gradient is that of the whole model's pass")
  func gradient() throws {
    let student = try TinyStudent("qwen3")
    let weights = try student.weights(Double.self)
    let whole = try student.graph(Double.self)
    let packed = PackedTokens(student.example([9, 6]).documents)
    let last = student.configuration.blockCount - 1
    let pass = whole.forward(packed, weights: weights.base, remembers: false, taps: [last, last + 1])
    let (input, output) = (try #require(pass.taps[last]), try #require(pass.taps[last + 1]))
    let alone = try LlamaGraph<Double>(block: last, of: student.configuration, layout: student.layout)
    let block = alone.forward(input, packed, weights: weights.base)
    #expect(block.output.array == output.array)
    // Differences of Σ y² / 2.
    let gradients = NumberBuffer<Double>(student.layout.count)
    alone.goBack(block, gradient: block.output.copy(), weights: weights.base, into: gradients.base)
    let prefix = "model.layers.\(last)."
    for entry in student.layout.entries where entry.name.hasPrefix(prefix) {
      let place = entry.offset + entry.count / 2
      func loss(_ change: Double) -> Double {
        let before = weights.base[place]
        weights.base[place] += change
        defer { weights.base[place] = before }
        return alone.forward(input, packed, weights: weights.base).output.array
          .reduce(0) { $0 + $1 * $1 / 2 }
      }
      let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
      #expect(abs(slope - gradients.base[place]) <= 1e-6 * max(1, abs(slope)), "\(entry.name)")
    }
  }

  @Test("the same codes on one and three threads")
  func threads() throws {
    let student = try TinyStudent("llama-tied")
    let start = try Self.rounded(student, .q4_0)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 3].map { count in
      Parallel.threadCount = count
      return try Self.learn(student, start, steps: 10).checkpoint.tensors.map {
        try $0.bytes.load().withBytes { Array($0) }
      }
    }
    #expect(all[0] == all[1])
  }
}
