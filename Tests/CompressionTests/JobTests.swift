import Compression
import Evaluation
import Foundation
import ModelFiles
import Passes
import Reporting
import TensorCore
import TestSupport
import Testing

/// Whole jobs on the reference model that the project ships.
@Suite("Jobs", .serialized)
struct JobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  private func scratch() throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-job-\(UUID().uuidString)"
    ).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func recipe(_ stages: [any Pass]) -> Recipe {
    var recipe = Recipe(stages: stages)
    recipe.evaluation.tokens = 1024
    recipe.evaluation.latency = false
    return recipe
  }

  private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  @Test("a run writes reports, recipe and one artifact a stage, and nothing else")
  func layout() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let job = Job(
      model: JobTests.model,
      recipe: recipe([QuantizePass(.int8), QuantizePass(.int4, allowRequantize: true)]),
      output: folder + "/out")
    let outcome = try job.run()
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder).sorted()
    #expect(
      files == [
        "out", "out/0-baseline", "out/0-baseline/reference.gguf.zst", "out/0-baseline/report.json",
        "out/0-baseline/report.md", "out/0-baseline/tokens.bin", "out/1-int8",
        "out/1-int8/reference.gguf.zst",
        "out/1-int8/report.json", "out/1-int8/report.md", "out/1-int8/tokens.bin", "out/2-int4",
        "out/2-int4/reference.gguf.zst", "out/2-int4/report.json", "out/2-int4/report.md",
        "out/2-int4/tokens.bin", "out/recipe.yaml", "out/report.html", "out/report.json", "out/report.md",
      ])
    let stages = outcome.report.stages
    #expect(stages.map(\.name) == ["baseline", "int8", "int4"])
    // Each stage is smaller, and further from the baseline, than the one before.
    #expect(stages[0].size.packedBytes > stages[1].size.packedBytes)
    #expect(stages[1].size.packedBytes > stages[2].size.packedBytes)
    let divergence = stages.compactMap { $0.divergence?.mean.value }
    #expect(divergence.count == 2 && divergence[0] < divergence[1] && divergence[0] > 0)
    for stage in stages {
      _ = try ArtifactFile.verify("\(folder)/out/\(stage.index)-\(stage.name)/\(stage.artifact.file)")
    }
    let read = try RunReport(
      json: try JSONValue(parsing: String(decoding: try bytes(folder + "/out/report.json"), as: UTF8.self)))
    #expect(read.stages.map(\.artifact) == stages.map(\.artifact))
    let resolved = String(decoding: try bytes(folder + "/out/recipe.yaml"), as: UTF8.self)
    #expect(try Recipe(yaml: resolved, path: "recipe.yaml").json == job.recipe.json)
  }

  @Test("the same job gives the same bytes on any number of threads")
  func determinism() throws {
    let folder = try scratch()
    let before = Parallel.threadCount
    defer {
      Parallel.threadCount = before
      try? FileManager.default.removeItem(atPath: folder)
    }
    var seen: Set<Data> = []
    var metrics: Set<String> = []
    for threads in [1, 2, 3, 4] {
      Parallel.threadCount = threads
      let place = "\(folder)/\(threads)"
      let outcome = try Job(model: JobTests.model, recipe: recipe([QuantizePass(.int4)]), output: place).run()
      seen.insert(try bytes(place + "/1-int4/reference.gguf.zst"))
      metrics.insert(outcome.report.stages[1].evaluation.json.text())
    }
    #expect(seen.count == 1)
    #expect(metrics.count == 1, "the figures must not depend on threads either")
  }

  @Test("a second run replaces the first; a failing one leaves it as it was")
  func replacing() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let place = folder + "/out"
    _ = try Job(model: JobTests.model, recipe: recipe([QuantizePass(.int8)]), output: place).run()
    _ = try Job(model: JobTests.model, recipe: recipe([QuantizePass(.int4)]), output: place).run()
    #expect(FileManager.default.fileExists(atPath: place + "/1-int4"))
    #expect(!FileManager.default.fileExists(atPath: place + "/1-int8"))
    let report = try bytes(place + "/report.json")
    struct Stop: Error {}
    let failing = Job(
      model: JobTests.model,
      recipe: {
        var recipe = recipe([QuantizePass(.int8)])
        recipe.evaluation.latency = true
        return recipe
      }(), output: place, probe: LatencyProbe { _ in throw Stop() })
    #expect(throws: Stop.self) { try failing.run() }
    #expect(try bytes(place + "/report.json") == report)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out"])
  }

  @Test("an artifact of a run is a model like any other")
  func artifactAsInput() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let first = try Job(model: JobTests.model, recipe: recipe([QuantizePass(.int4)]), output: folder + "/a")
      .run()
    let second = try Job(
      model: folder + "/a/0-baseline/reference.gguf.zst", recipe: recipe([QuantizePass(.int4)]),
      output: folder + "/b"
    ).run()
    #expect(first.report.stages[1].artifact.merkleRoot == second.report.stages[1].artifact.merkleRoot)
    let error = #expect(throws: JobError.self) {
      try Job(
        model: folder + "/a/1-int4/reference.gguf.zst", recipe: recipe([QuantizePass(.int8)]),
        output: folder + "/c"
      ).run()
    }
    #expect(error?.kind == .badInput)
    #expect(error?.description.contains("already quantized") == true)
    #expect(error?.description.contains("--allow-requantize") == true)
  }
}
