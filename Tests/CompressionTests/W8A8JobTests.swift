import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Whole jobs whose models round their activations, too, on the reference model.
@Suite("W8A8", .serialized)
struct W8A8JobTests {
  private static let model =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/Calibration/reference/model.bin"

  private func run(
    _ pass: QuantizePass, tokens: Int = 2048, container: OutputContainer = .safetensors
  ) throws -> (report: StageReport, artifact: Data, shipped: Checkpoint) {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-w8a8-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: [pass])
    recipe.container = container
    recipe.evaluation.tokens = 2048
    recipe.evaluation.latency = false
    recipe.calibration.tokens = tokens
    let outcome = try Job(model: W8A8JobTests.model, recipe: recipe, output: folder).run()
    let report = try #require(outcome.report.stages.last)
    let path = "\(folder)/1-\(report.name)/\(report.artifact.file)"
    return (
      report, try Data(contentsOf: URL(fileURLWithPath: path)), try Checkpoint.load(try ModelFiles.open(path))
    )
  }

  private func pass(_ smoothing: Smoothing, _ method: QuantizePass.Method? = nil) -> QuantizePass {
    var pass = QuantizePass(.format(.w8a8), method: method)
    pass.smoothing = smoothing
    return pass
  }

  @Test("it is as near to the baseline as 8-bit weights alone, nearly, and says what was smoothed")
  func divergence() throws {
    let weights = try #require(try run(QuantizePass(.int8)).report.divergence).mean.value
    let (report, _, shipped) = try run(pass(.chosen))
    let divergence = try #require(report.divergence).mean.value
    // One scale a token is coarser than one for each 32 columns.
    #expect(divergence < 8 * weights, "\(divergence), of 8-bit weights \(weights)")
    #expect(divergence < 0.0005)
    let unsmoothed = try #require(try run(pass(.none)).report.divergence).mean.value
    #expect(divergence < unsmoothed, "\(divergence), \(unsmoothed) without smoothing")
    #expect(shipped.tensors.filter { shipped.role(of: $0).isLinear }.allSatisfy { $0.format == .w8a8 })
    #expect(shipped.tensor("model.embed_tokens.weight")?.format.isFloat == true)
    let notes = report.tensors.compactMap(\.outcome?.note)
    #expect(notes.contains { $0.hasPrefix("smoothed with exponent") })
    #expect(notes.contains("not smoothed"))
  }

  @Test("a fixed exponent, none, and plain rounding all give models")
  func variants() throws {
    for (smoothing, method) in [
      (Smoothing.exponent(0.85), nil), (Smoothing.none, nil), (.chosen, .rtn), (Smoothing.none, .rtn),
      (.chosen, .imatrix),
    ] as [(Smoothing, QuantizePass.Method?)] {
      let report = try run(pass(smoothing, method), tokens: 512).report
      #expect(try #require(report.divergence).mean.value < 0.002, "\(smoothing) \(method?.rawValue ?? "")")
    }
  }

  @Test("the same bytes on one, two and four threads")
  func threads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try run(pass(.chosen), tokens: 512).artifact
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("calibrated on two tokens it still gives a model")
  func fewTokens() throws {
    #expect(try #require(try run(pass(.chosen), tokens: 2).report.divergence).mean.value < 0.01)
  }

  @Test("GGUF, and the method that scales columns itself, are refused by one line")
  func refusals() throws {
    func failure(_ pass: QuantizePass, _ container: OutputContainer) -> String {
      do {
        _ = try run(pass, container: container)
        return "nothing"
      } catch { return "\(error)" }
    }
    #expect(
      failure(pass(.chosen), .gguf).hasSuffix(
        "GGUF cannot hold 'model.layers.0.self_attn.q_proj.weight' as w8a8, and what runs GGUF rounds activations to 8 "
          + "bits anyway; use --int8, or --format safetensors"))
    #expect(
      failure(pass(.chosen, .awq), .safetensors).hasSuffix(
        "w8a8 scales columns for activations and weights together: use the method gptq, imatrix or rtn"))
  }
}
