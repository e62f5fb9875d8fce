internal import Compression
internal import TensorCore

/// Draws a job's events: on a terminal the stages as a table and a bar with the time left, both in place; plain lines elsewhere;
/// nothing when quiet.
final class ProgressBar: Sendable {
  /// How events are shown.
  enum Style: Sendable { case live, lines, silent }

  private struct State {
    var stage = ""
    var step = ""
    var timeLeft = TimeLeft()
    var drawn = ContinuousClock.now - .seconds(1)
    var block = LiveBlock()
  }

  private let style: Style
  private let state = Locked(State())

  /// A bar for standard error.
  init(quiet: Bool) { style = quiet ? .silent : Terminal.canRedraw ? .live : .lines }

  /// Shows one event.
  func show(_ event: JobEvent) {
    guard style != .silent else { return }
    state.withLock { state in
      switch event {
      case .stage(let index, let count, let label):
        state.stage = "[\(index)/\(count - 1)] \(Terminal.oneLine(label))"
        state.step = ""
        state.timeLeft.reset()
        state.block.activity = ""
        print(Terminal.styled(state.stage, .bold), &state)
      case .progress(let step, let fraction): advance(&state, step: step, fraction: fraction)
      case .done(let step, let remark):
        state.step = ""
        state.block.activity = ""
        print("  \(step): \(Terminal.oneLine(remark))", &state)
      case .finished(let report):
        state.block.stages.append(report)
        state.block.activity = ""
        redraw(&state)
      case .note(let note): print("  \(Terminal.styled("note:", .yellow)) \(Terminal.oneLine(note))", &state)
      }
    }
  }

  private func advance(_ state: inout State, step: String, fraction: Double) {
    let now = ContinuousClock.now
    let left = state.timeLeft.seconds(of: step, fraction: fraction, now: now)
    if state.step != step {
      state.step = step
      state.drawn = now
      return
    }
    let interval: Duration = style == .live ? .milliseconds(100) : .seconds(10)
    guard now - state.drawn >= interval else { return }
    state.drawn = now
    let part = min(1, max(0, fraction.isFinite ? fraction : 0))
    let percent = "\(Int(part * 100)) %"
    let remaining = left.map { ", \(ProgressBar.time($0)) left" } ?? ""
    guard style == .live else { return Terminal.error("  \(step): \(percent)\(remaining)\n") }
    // The bar takes what a narrow terminal leaves.
    let width = max(0, min(24, Terminal.size(of: 2).width - step.count - remaining.count - 12))
    let filled = Int(Double(width) * part)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    state.block.activity = "  \(step) " + (width > 3 ? "[\(bar)] " : "") + "\(percent)\(remaining)"
    redraw(&state)
  }

  /// Writes a line above the block.
  private func print(_ line: String, _ state: inout State) {
    guard style == .live else { return Terminal.error(line + "\n") }
    Terminal.error(state.block.erasure() + line + "\n" + drawing(&state))
  }

  private func redraw(_ state: inout State) {
    if style == .live { Terminal.error(drawing(&state)) }
  }

  private func drawing(_ state: inout State) -> String {
    let size = Terminal.size(of: 2)
    return state.block.drawing(width: size.width, height: size.height, colours: Terminal.hasColours)
  }

  /// Takes what is drawn in place off the terminal, before a result or an error is printed.
  func finish() {
    guard style == .live else { return }
    state.withLock { state in
      Terminal.error(state.block.erasure())
      state.block = LiveBlock()
    }
  }

  private static func time(_ seconds: Double) -> String {
    let whole = Int(min(seconds, 1e9).rounded(.up))
    return whole < 60
      ? "\(whole) s"
      : whole < 3600 ? "\(whole / 60) min \(whole % 60) s" : "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}
