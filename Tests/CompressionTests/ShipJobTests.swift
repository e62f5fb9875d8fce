import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Whole jobs that aim at a size with uniform codes.
@Suite("Shipping profile", .serialized)
struct ShipJobTests {
  private static let model =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/Calibration/reference/model.bin"

  private func scratch() throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-ship-\(UUID().uuidString)"
    ).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func recipe(_ goal: SizeGoal) -> Recipe {
    var recipe = Recipe(stages: [ShipPass(goal)])
    recipe.container = .safetensors
    recipe.calibration.tokens = 2048
    recipe.calibration.context = 128
    recipe.evaluation.tokens = 1024
    recipe.evaluation.latency = false
    return recipe
  }

  @Test("artifacts have the size asked for, and fewer bits mean more divergence")
  func sizes() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var divergences: [Double] = []
    for (place, bytes) in [1_190_123, 760_001].enumerated() {
      let outcome = try Job(
        model: Self.model, recipe: recipe(.bytes(bytes)), output: "\(folder)/\(place)"
      ).run()
      let stage = try #require(outcome.report.stages.last)
      let artifact = "\(folder)/\(place)/1-ship/model.safetensors.zst"
      let size = try #require(
        try FileManager.default.attributesOfItem(atPath: artifact)[.size] as? Int)
      #expect(size <= bytes && Double(size) >= 0.995 * Double(bytes))
      divergences.append(try #require(stage.divergence).mean.value)
      let back = try Checkpoint.load(try ModelFiles.open(artifact))
      let linear = back.tensors.filter { back.role(of: $0).isLinear }
      #expect(linear.allSatisfy { $0.format == .uniform8 || $0.format == .uniform16 })
      _ = try ArtifactFile.verify(artifact)
    }
    #expect(divergences[0] < divergences[1] / 2)
    #expect(divergences[1] < 0.05)
  }

  @Test("the same bytes on any number of threads")
  func threads() throws {
    let folder = try scratch()
    let old = Parallel.threadCount
    defer {
      Parallel.threadCount = old
      try? FileManager.default.removeItem(atPath: folder)
    }
    let hashes = try [1, 2, 4].map { threads in
      Parallel.threadCount = threads
      let outcome = try Job(
        model: Self.model, recipe: recipe(.bitsPerWeight(4)), output: "\(folder)/\(threads)"
      ).run()
      return try #require(outcome.report.stages.last).artifact.sha256
    }
    #expect(Set(hashes).count == 1)
  }

  @Test("a model of an unknown architecture is rounded by its weights alone, to the same precision of size")
  func unknown() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var generator = SeededGenerator(seed: 3)
    let weights = (0..<300 * 500).flatMap { _ in
      withUnsafeBytes(of: Float(generator.uniform() - 0.5).bitPattern.littleEndian) { Array($0) }
    }
    let tensor = StoredTensor(
      name: "net.fc.weight", shape: [300, 500], format: .f32, bytes: TensorBytes(ByteRegion(weights)))
    var sink = MemorySink()
    try SafetensorsWriter.layout(tensors: [tensor], metadata: [:]).write(to: &sink)
    try FileManager.default.createDirectory(
      atPath: folder + "/model", withIntermediateDirectories: true)
    try Data(sink.bytes).write(to: URL(fileURLWithPath: folder + "/model/model.safetensors"))
    try Data("{\"model_type\": \"telepathy\"}".utf8).write(
      to: URL(fileURLWithPath: folder + "/model/config.json"))
    let outcome = try Job(
      model: folder + "/model", recipe: recipe(.bytes(80_000)), output: folder + "/out"
    ).run()
    let stage = try #require(outcome.report.stages.last)
    #expect(stage.size.packedBytes <= 80_000 && stage.size.packedBytes >= 79_600)
    let error = try #require(stage.tensors.first?.relativeSquaredError)
    // A uniform density at 4 bits: 16 codes, each off by 1/12 of its square.
    #expect(error < 1.3 / 256)
  }

  @Test("sizes that cannot be had are refused")
  func refused() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for bytes in [10_000, 100_000_000] {
      let outcome = try Job(model: Self.model, recipe: recipe(.bytes(bytes)), output: "\(folder)/out").run()
      // The baseline and the report stand; what the program ends with is the refusal.
      let error = try #require(outcome.error)
      #expect(error.kind == .badInput && error.description.contains("is possible here"))
      #expect(outcome.report.failure?.index == 1 && outcome.report.stages.count == 1)
    }
  }
}
