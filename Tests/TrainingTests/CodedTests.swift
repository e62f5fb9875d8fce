import ModelFiles
import Models
import TensorCore
import Testing
import Training
import WeightCodecs

/// Training of quantized matrices: codes and scales.
@Suite("Training of quantized weights", .serialized)
struct CodedTests {
  private static let formats: [TensorFormat] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_nl, .int4_g32, .int4_g64,
    .int4_g128, .int8_channel, .w8a8, .uniform8, .uniform16,
  ]

  /// A model of one matrix in a format, and a vector beside it.
  static func checkpoint(_ format: TensorFormat) throws -> Checkpoint {
    var generator = SeededGenerator(seed: 5)
    let (rows, columns) = (6, 512)
    let values = (0..<rows * columns).map { _ in Float(generator.uniform() * 2 - 1) }
    let bytes: ByteRegion
    if format == .uniform8 || format == .uniform16 {
      bytes = try UniformTensor(
        codes: values.map { Int16(($0 * 9).rounded()) }, rowScales: (0..<rows).map { 0.25 + Float($0) / 8 },
        columnScales: (0..<columns).map { 0.5 + Float($0 % 64) / 128 }, format: format
      ).bytes
    } else {
      bytes = try TensorCoding.encode(Matrix(rows: rows, columns: columns, elements: values), format: format)
    }
    let matrix = StoredTensor(
      name: "m.weight", shape: [rows, columns], format: format, bytes: TensorBytes(bytes))
    let vector = StoredTensor(name: "norm.weight", vector: (0..<10).map { Float($0) / 10 })
    let tensors = [matrix, vector]
    return Checkpoint(
      name: "coded", architecture: nil, configuration: .object(JSONObject([])), tensors: tensors,
      isTied: false, tokenizer: nil,
      source: ModelSource(container: .safetensors, path: "coded", files: [], tensors: tensors))
  }

  static func form(_ checkpoint: Checkpoint) throws -> CodedWeights {
    var settings = TrainingSettings()
    settings.tuning = .codes
    return try CodedWeights(checkpoint, settings: settings)
  }

  @Test("what nothing has moved is the matrix as it was, and its bytes", arguments: formats)
  func start(format: TensorFormat) throws {
    let checkpoint = try Self.checkpoint(format)
    let form = try Self.form(checkpoint)
    let parameters = try form.start()
    let weights = form.weights(of: parameters).array
    let expected = try checkpoint.tensors[0].values()
    for (place, value) in expected.enumerated() { #expect(abs(weights[place] - value) <= 1e-6 * abs(value)) }
    #expect(Array(weights[expected.count...]) == (0..<10).map { Float($0) / 10 })
    let stored = try form.storing(form.settled(parameters), in: checkpoint)
    let (a, b) = (try stored.tensors[0].bytes.load(), try checkpoint.tensors[0].bytes.load())
    #expect(stored.tensors[0].format == format)
    #expect(a.withBytes { Array($0) } == b.withBytes { Array($0) })
  }

  @Test("what is stored is what the forward pass has seen", arguments: formats)
  func stores(format: TensorFormat) throws {
    let checkpoint = try Self.checkpoint(format)
    let form = try Self.form(checkpoint)
    let parameters = try form.start()
    var generator = SeededGenerator(seed: 6)
    let count = checkpoint.tensors[0].elementCount
    for place in 0..<count { parameters.base[place] += Float(generator.uniform() * 4 - 2) }
    for place in count + 10..<parameters.count {
      parameters.base[place] = Float(generator.uniform() * 0.4 - 0.2)
    }
    let weights = form.weights(of: parameters).array
    let before = try checkpoint.tensors[0].values()
    let after = try form.storing(form.settled(parameters), in: checkpoint).tensors[0].values()
    var changed = 0
    for place in 0..<count {
      #expect(
        abs(weights[place] - after[place]) <= 2e-6 * (abs(after[place]) + 1), "\(format) \(place)")
      changed += before[place] != after[place] ? 1 : 0
    }
    #expect(changed > count / 2)
  }

  @Test("gradients by scales are slopes, those by codes go straight through", arguments: formats)
  func gradients(format: TensorFormat) throws {
    let checkpoint = try Self.checkpoint(format)
    let form = try Self.form(checkpoint)
    let parameters = try form.start()
    let count = checkpoint.tensors[0].elementCount
    var generator = SeededGenerator(seed: 7)
    let slopes = (0..<count + 10).map { _ in Float(generator.uniform() - 0.5) }
    let gradient = NumberBuffer<Float>(parameters.count)
    for (place, slope) in slopes.enumerated() { gradient.base[place] = slope }
    form.pull(gradient, at: parameters)
    func loss() -> Double {
      let weights = form.weights(of: parameters).array
      return zip(weights, slopes).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    // Steps that half precision, or the few bits of a column's scale, follow well.
    for place in stride(from: count + 10, to: parameters.count, by: 7) {
      parameters.base[place] = 0.25
      let above = loss()
      parameters.base[place] = -0.25
      let slope = (above - loss()) / 0.5
      parameters.base[place] = 0
      let found = Double(gradient.base[place])
      #expect(abs(found - slope) <= 0.02 * (abs(slope) + 0.05), "\(format) \(place) \(found) \(slope)")
    }
    // A code more, where the levels are even.
    guard format != .iq4_nl else { return }
    for place in stride(from: 0, to: count, by: 97) {
      let before = form.weights(of: parameters).array[place]
      let start = parameters.base[place]
      var change = Float(0)
      for step in [Float(1), -1] where change == 0 {
        parameters.base[place] = start + step
        change = (form.weights(of: parameters).array[place] - before) * step
      }
      parameters.base[place] = start
      let found = gradient.base[place]
      #expect(abs(found - slopes[place] * change) <= 1e-4 * abs(found) + 1e-6, "\(format) \(place)")
    }
  }

  @Test("scales alone leave codes, and a margin takes back what went away from zero")
  func margins() throws {
    let checkpoint = try Self.checkpoint(.uniform8)
    var settings = TrainingSettings()
    settings.tuning = .scales
    let frozen = try CodedWeights(checkpoint, settings: settings)
    let gradient = NumberBuffer<Float>(frozen.layout.count)
    for place in 0..<gradient.count { gradient.base[place] = 1 }
    frozen.pull(gradient, at: try frozen.start())
    let count = checkpoint.tensors[0].elementCount
    #expect((0..<count).allSatisfy { gradient.base[$0] == 0 })
    let form = try Self.form(checkpoint)
    let parameters = try form.start()
    for place in 0..<count { parameters.base[place] += place % 2 == 0 ? 0.7 : -0.7 }
    func codes(_ margin: Float) throws -> [Int16] {
      let tensor = try form.storing(parameters, in: checkpoint, margin: margin).tensors[0]
      return UniformTensor.parts(of: try tensor.bytes.load(), format: tensor.format, rows: 6, columns: 512)
        .codes
    }
    let (first, free, bound) = (try form.start().array.map { Int16($0) }, try codes(0), try codes(0.5))
    for place in 0..<count {
      #expect(free[place] == first[place] + (place % 2 == 0 ? 1 : -1))
      #expect(bound[place].magnitude <= first[place].magnitude)
      if free[place].magnitude < first[place].magnitude { #expect(bound[place] == free[place]) }
    }
  }
}
