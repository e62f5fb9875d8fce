import Compression
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Models of an architecture that we do not know: compressed by names and shapes, never evaluated, nothing lost.
@Suite("Unknown models")
struct UnknownModelTests {
  /// A folder with a config of an unknown type, and floats, masks and counters.
  private func folder() throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("unknown-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: path + "/model", withIntermediateDirectories: true)
    var generator = SeededGenerator(seed: 3)
    let weights = (0..<64 * 256).flatMap { _ in
      withUnsafeBytes(of: Float(generator.uniform() - 0.5).bitPattern.littleEndian) { Array($0) }
    }
    let tensors = [
      StoredTensor(name: "net.fc", shape: [64, 256], format: .f32, bytes: TensorBytes(ByteRegion(weights))),
      StoredTensor(
        name: "net.mask", shape: [2, 2], format: .bool, bytes: TensorBytes(ByteRegion([1, 0, 0, 1]))),
      StoredTensor(
        name: "net.counts", shape: [3], format: .u8, bytes: TensorBytes(ByteRegion([7, 200, 255]))),
      StoredTensor(
        name: "net.ids", shape: [2], format: .u16, bytes: TensorBytes(ByteRegion([0x34, 0x12, 0xFF, 0xFF]))),
    ]
    var sink = MemorySink()
    try SafetensorsWriter.layout(tensors: tensors, metadata: [:]).write(to: &sink)
    try Data(sink.bytes).write(to: URL(fileURLWithPath: path + "/model/model.safetensors"))
    try Data("{\"model_type\": \"telepathy\"}".utf8).write(
      to: URL(fileURLWithPath: path + "/model/config.json"))
    return path
  }

  @Test("int4 quantizes what is a matrix and keeps the values of everything else")
  func compresses() throws {
    let path = try folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let outcome = try Job(
      model: path + "/model", recipe: Recipe(stages: [QuantizePass(.int4)]), output: path + "/out"
    )
    .run()
    let stage = outcome.report.stages[1]
    guard case .none(let reason) = stage.evaluation else {
      Issue.record("an unknown model cannot be evaluated")
      return
    }
    #expect(reason.contains("architecture is unknown"))
    #expect(outcome.report.notes.contains { $0.contains("telepathy") })
    let shipped = try ModelFiles.open("\(path)/out/1-int4/\(stage.artifact.file)")
    let tensors = Dictionary(uniqueKeysWithValues: shipped.tensors.map { ($0.name, $0) })
    #expect(tensors["net.fc"]?.format == .q4_k)
    #expect(tensors["net.mask"]?.format == .i8)
    #expect(try tensors["net.mask"]?.bytes.load().array == [1, 0, 0, 1])
    #expect(tensors["net.counts"]?.format == .i16)
    #expect(try tensors["net.counts"]?.bytes.load().array == [7, 0, 200, 0, 255, 0])
    #expect(tensors["net.ids"]?.format == .i32)
    #expect(try tensors["net.ids"]?.bytes.load().array == [0x34, 0x12, 0, 0, 0xFF, 0xFF, 0, 0])
  }
}
