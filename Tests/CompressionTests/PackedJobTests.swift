import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Whole jobs whose artifacts are quantized safetensors, on the reference model.
@Suite("Quantized safetensors", .serialized)
struct PackedJobTests {
  private static let model =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/Calibration/reference/model.bin"

  private func scratch() throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-packed-\(UUID().uuidString)"
    ).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func recipe(_ target: QuantizePass.Target, _ activations: ActivationPrecision) -> Recipe {
    var pass = QuantizePass(target)
    pass.method = .rtn
    var recipe = Recipe(stages: [pass])
    recipe.container = .safetensors
    recipe.loader = .vllm
    recipe.evaluation.tokens = 1024
    recipe.evaluation.latency = false
    recipe.evaluation.activations = activations
    return recipe
  }

  @Test("int4 and int8 are groups and rows, read back and evaluated in integers and in floats")
  func widths() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var divergences: [String: Double] = [:]
    for (target, format) in [(QuantizePass.Target.int4, TensorFormat.int4_g128), (.int8, .int8_channel)] {
      for activations in ActivationPrecision.allCases {
        let output = "\(folder)/\(target.name)-\(activations)"
        let outcome = try Job(model: Self.model, recipe: recipe(target, activations), output: output).run()
        let stage = try #require(outcome.report.stages.last)
        #expect(stage.name == format.rawValue)
        guard case .language(_, let method) = stage.evaluation else {
          Issue.record("not evaluated")
          return
        }
        #expect(method.activations == activations.rawValue)
        divergences["\(target.name) \(activations)"] = try #require(stage.divergence).mean.value
        let artifact = "\(output)/1-\(format.rawValue)/model.safetensors.zst"
        let back = try Checkpoint.load(try ModelFiles.open(artifact))
        #expect(back.tensors.filter { back.role(of: $0).isLinear }.allSatisfy { $0.format == format })
        #expect(back.tensor("model.embed_tokens.weight")?.format.isFloat == true)
        _ = try ArtifactFile.verify(artifact)
      }
    }
    let four = try #require(divergences["int4 f32"])
    let eight = try #require(divergences["int8 f32"])
    #expect(eight < four / 10)
    // What activations' rounding adds is not in the figure of the weights alone.
    #expect(eight < (try #require(divergences["int8 int8"])))
  }

  @Test("a packed file that lies alone says how it is packed")
  func alone() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var pass = QuantizePass(.format(.int4_g32))
    pass.method = .rtn
    let checkpoint = try Checkpoint.load(try ModelFiles.open(Self.model))
    let conversion = Conversion(container: .safetensors, pass: pass, packed: 1)
    _ = try conversion.run(checkpoint, to: folder + "/alone.safetensors.zst")
    let back = try Checkpoint.load(try ModelFiles.open(folder + "/alone.safetensors.zst"))
    #expect(back.tensors.contains { $0.format == .int4_g32 })
    #expect(!back.tensors.contains { $0.name.hasSuffix("weight_packed") })
  }

  @Test("the gptq layout comes back with the same weights")
  func gptq() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var pass = QuantizePass(.format(.int4_g32))
    pass.method = .rtn
    let checkpoint = try Checkpoint.load(try ModelFiles.open(Self.model))
    var tensors: [[StoredTensor]] = []
    for layout in [PackedLayout.gptq, .compressedTensors] {
      var conversion = Conversion(container: .safetensors, pass: pass)
      conversion.layout = layout
      let files = try conversion.run(checkpoint, to: "\(folder)/\(layout.rawValue)")
      #expect(files.contains { $0.path.hasSuffix("quantize_config.json") } == (layout == .gptq))
      tensors.append(try Checkpoint.load(try ModelFiles.open("\(folder)/\(layout.rawValue)")).tensors)
    }
    for (a, b) in zip(tensors[0], tensors[1]) {
      #expect(a.name == b.name && a.format == b.format)
      #expect(try a.bytes.load().array == b.bytes.load().array)
    }
  }

  @Test("what a loader cannot take is refused before anything is written")
  func refusals() throws {
    let folder = try scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = recipe(.int4, .int8)
    recipe.loader = .mlx
    #expect(throws: JobError.self) {
      try Job(model: Self.model, recipe: recipe, output: folder + "/out").run()
    }
    recipe.loader = .llamaCpp
    do {
      _ = try Job(model: Self.model, recipe: recipe, output: folder + "/out").run()
      Issue.record("not refused")
    } catch { #expect("\(error)".hasSuffix("llama.cpp loads gguf, not safetensors: leave --format out")) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
  }
}
