import ModelFiles
import Models
import TensorCore
import Testing
import Training
import WeightCodecs

/// Training with inputs of matrices rounded to 8 bits, as those that ship read them.
@Suite("Rounded activations in training", .serialized)
struct ActivationRoundingTests {
  /// One row by the definition: whole multiples of a block's largest number over 127, behind the columns' scales.
  private static func rounded(_ x: [Double], block: Int, scales: [Double]?) -> [Double] {
    var result: [Double] = []
    for start in stride(from: 0, to: x.count, by: block) {
      let places = start..<min(x.count, start + block)
      let y = places.map { x[$0] * (scales?[$0] ?? 1) }
      let most = y.map(abs).max() ?? 0
      for (place, value) in zip(places, y) {
        let code = most == 0 ? 0 : (value * (127 / most)).rounded(.toNearestOrEven)
        let scale = scales?[place] ?? 1
        result.append(scale == 0 ? 0 : code * (most / 127) / scale)
      }
    }
    return result
  }

  private static func numbers(_ count: Int, seed: UInt64) -> [Double] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in generator.uniform() * 4 - 2 }
  }

  @Test("rows become what the definition says", arguments: [(false, false), (false, true), (true, false)])
  func definition(isToken: Bool, hasScales: Bool) throws {
    let (rows, width) = (5, 75)
    var x = Self.numbers(rows * width, seed: 3)
    for place in width..<width + 32 { x[place] = 0 }
    var scales = Self.numbers(width, seed: 4).map { Double(Float($0)) }
    scales[7] = 0
    var rounding = ActivationRounding()
    rounding.add(
      matrixAt: 11, isToken: isToken, columnScales: hasScales ? NumberBuffer(scales.map { Float($0) }) : nil)
    let found = rounding.read(NumberBuffer(x), matrixAt: 11, width: width).array
    for row in 0..<rows {
      let expected = Self.rounded(
        Array(x[row * width..<(row + 1) * width]), block: isToken ? width : 32,
        scales: hasScales ? scales : nil)
      for column in 0..<width {
        #expect(abs(found[row * width + column] - expected[column]) < 1e-12, "\(row) \(column)")
      }
    }
    #expect(rounding.read(NumberBuffer(x), matrixAt: 12, width: width).array == x)
  }

  @Test(
    "products of what is read are those of the stored matrix",
    arguments: [
      TensorFormat.q4_0, .q8_0, .q3_k, .q4_k, .q6_k, .int4_g128, .int8_channel, .w8a8, .uniform8, .uniform16,
    ])
  func products(format: TensorFormat) throws {
    let checkpoint = try CodedTests.checkpoint(format)
    let matrix = checkpoint.tensors[0]
    let (rows, columns, tokens) = (matrix.rowCount, matrix.rowLength, 6)
    let stored = WeightMatrix(rows: rows, columns: columns, format: format, bytes: try matrix.bytes.load())
    let x = Self.numbers(tokens * columns, seed: 8).map { Float($0) }
    var expected = [Float](repeating: 0, count: tokens * rows)
    x.withUnsafeBufferPointer { x in
      expected.withUnsafeMutableBufferPointer { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        stored.multiply(x, tokens: tokens, into: y)
      }
    }
    let form = try CodedTests.form(checkpoint)
    let parameters = try form.start()
    let weights = form.weights(of: parameters).array
    let read = form.activationRounding.read(NumberBuffer(x), matrixAt: 0, width: columns).array
    func product(_ x: [Float], _ token: Int, _ row: Int) -> Double {
      (0..<columns).reduce(0) { $0 + Double(x[token * columns + $1]) * Double(weights[row * columns + $1]) }
    }
    var (worst, plain) = (0.0, 0.0)
    for token in 0..<tokens {
      for row in 0..<rows {
        let value = Double(expected[token * rows + row])
        worst = max(worst, abs(product(read, token, row) - value))
        plain = max(plain, abs(product(x, token, row) - value))
      }
    }
    #expect(worst < 2e-2 * plain, "\(worst) of \(plain)")
  }

  @Test("scales that were trained are those that activations are multiplied by")
  func trainedScales() throws {
    let checkpoint = try CodedTests.checkpoint(.uniform8)
    let form = try CodedTests.form(checkpoint)
    let parameters = try form.start()
    let rounding = form.activationRounding
    let columns = checkpoint.tensors[0].rowLength
    let x = NumberBuffer(Self.numbers(columns, seed: 9).map { Float($0) })
    _ = form.weights(of: parameters)
    let before = rounding.read(x, matrixAt: 0, width: columns).array
    for place in parameters.count - columns..<parameters.count {
      parameters.base[place] = place % 2 == 0 ? 0.5 : -0.25
    }
    _ = form.weights(of: parameters)
    let after = rounding.read(x, matrixAt: 0, width: columns).array
    #expect(before != after)
    let stored = try form.storing(form.settled(parameters), in: checkpoint).tensors[0]
    let parts = UniformTensor.parts(
      of: try stored.bytes.load(), format: stored.format, rows: stored.rowCount, columns: columns)
    let expected = Self.rounded(
      x.array.map { Double($0) }, block: 32, scales: parts.columnScales.map { Double($0) })
    for (found, value) in zip(after, expected) { #expect(abs(Double(found) - value) < 1e-5) }
  }

  // MARK: Gradients

  /// The loss of a tiny model that reads rounded inputs, and its gradient.
  private static func loss(
    _ student: TinyStudent, _ rounding: ActivationRounding?, _ weights: NumberBuffer<Double>
  )
    throws -> (loss: Double, gradient: NumberBuffer<Double>)
  {
    let (documents, teacher) = student.example([7, 1, 12])
    return try student.loss(
      DistillationLoss(), documents, teacher: teacher, weights: weights, rounding: rounding)
  }

  @Test(
    "a matrix's gradient is the difference quotient with the inputs that it has read",
    arguments: ["lm_head.weight", "model.layers.1.mlp.down_proj.weight"])
  func weightGradient(name: String) throws {
    let student = try TinyStudent("llama-bias")
    let entry = try #require(student.layout[name])
    // This matrix alone rounds, so nothing behind it jumps when it is moved.
    var rounding = ActivationRounding()
    rounding.add(matrixAt: entry.offset)
    rounding.levels = 7
    let weights = try student.weights(Double.self)
    let gradient = try Self.loss(student, rounding, weights).gradient
    let plain = try Self.loss(student, nil, weights).gradient
    var generator = SeededGenerator(seed: 2)
    let direction = (0..<entry.count).map { _ in generator.uniform() < 0.5 ? -1.0 : 1.0 }
    func along(_ amount: Double) throws -> Double {
      let moved = weights.copy()
      for (place, sign) in direction.enumerated() { moved.base[entry.offset + place] += amount * sign }
      return try Self.loss(student, rounding, moved).loss
    }
    let h = 2e-4
    let slope = try (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
    func product(_ gradient: NumberBuffer<Double>) -> Double {
      direction.enumerated().reduce(0) { $0 + gradient.base[entry.offset + $1.offset] * $1.element }
    }
    #expect(abs(slope - product(gradient)) < 1e-6 * abs(slope) + 1e-10)
    #expect(abs(slope - product(plain)) > 1e-5 * abs(slope), "the test tells rounded inputs from others")
  }

  @Test("behind a rounding gradients go straight on: fine steps give those of none")
  func straightThrough() throws {
    let student = try TinyStudent("llama-bias")
    let weights = try student.weights(Double.self)
    let plain = try Self.loss(student, nil, weights).gradient
    var rounding = ActivationRounding()
    for entry in student.layout.entries where entry.shape.count > 1 { rounding.add(matrixAt: entry.offset) }
    rounding.levels = 1e7
    let fine = try Self.loss(student, rounding, weights).gradient
    for entry in student.layout.entries {
      let range = entry.offset..<entry.offset + entry.count
      let top = range.reduce(0.0) { max($0, abs(plain.base[$1])) }
      #expect(top > 0)
      for place in range { #expect(abs(fine.base[place] - plain.base[place]) < 1e-5 * top) }
    }
    #expect(fine.array != plain.array)
  }
}
